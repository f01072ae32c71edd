{{/*
A Service in front of the controller. `traffic` is controller.service or controller.service.internal, which has the
same keys and takes ports and type from the former where it names none.
Shape: (dict "root" $ "name" "..." "traffic" map "labels" (list map))
*/}}
{{- define "portcullis.trafficService" -}}
{{- $root := .root -}}
{{- $base := $root.Values.controller.service -}}
{{- $t := .traffic -}}
{{- $type := $t.type | default $base.type -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ include "portcullis.namespace" $root }}
  labels:
    {{- include "portcullis.labels" (dict "root" $root "component" "controller" "extra" .labels) | nindent 4 }}
  {{- with $t.annotations }}
  annotations:
    {{- include "portcullis.annotations" (dict "root" $root "annotations" .) | trim | nindent 4 }}
  {{- end }}
spec:
  type: {{ $type }}
  {{- range $key := list "clusterIP" "clusterIPs" "externalIPs" "loadBalancerIP" "loadBalancerSourceRanges"
    "loadBalancerClass" "externalTrafficPolicy" "sessionAffinity" "healthCheckNodePort" "ipFamilyPolicy" "ipFamilies" }}
  {{- with index $t $key }}
  {{- toYaml (dict $key .) | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- if kindIs "bool" $t.allocateLoadBalancerNodePorts }}
  allocateLoadBalancerNodePorts: {{ $t.allocateLoadBalancerNodePorts }}
  {{- end }}
  {{- if and $t.trafficDistribution (semverCompare ">=1.31.0-0" $root.Capabilities.KubeVersion.Version) }}
  trafficDistribution: {{ $t.trafficDistribution }}
  {{- end }}
  ports:
    {{- $nodePorts := ternary ($t.nodePorts | default dict) dict (has $type (list "NodePort" "LoadBalancer")) }}
    {{- range $name, $wanted := dict "http" $base.enableHttp "https" $base.enableHttps }}
    {{- if $wanted }}
    - name: {{ $name }}
      port: {{ index ($t.ports | default dict) $name | default (index $base.ports $name) }}
      targetPort: {{ index ($t.targetPorts | default dict) $name | default (index $base.targetPorts $name) }}
      protocol: TCP
      {{- if $t.appProtocol }}
      appProtocol: {{ $name }}
      {{- end }}
      {{- with index $nodePorts $name }}
      nodePort: {{ . }}
      {{- end }}
    {{- end }}
    {{- end }}
    {{- range $protocol := list "tcp" "udp" }}
    {{- range $port, $_ := index $root.Values $protocol }}
    {{- $name := include "portcullis.streamPort" (dict "root" $root "port" $port "protocol" $protocol) }}
    - name: {{ $name }}
      port: {{ $port }}
      targetPort: {{ $name }}
      protocol: {{ upper $protocol }}
      {{- with index (index $nodePorts $protocol | default dict) $port }}
      nodePort: {{ . }}
      {{- end }}
    {{- end }}
    {{- end }}
  selector:
    {{- include "portcullis.selector" (dict "root" $root "component" "controller") | nindent 4 }}
{{- end -}}
