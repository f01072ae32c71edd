{{/* The Pod of the controller, the same for a Deployment and a DaemonSet. */}}
{{- define "portcullis.pod" -}}
{{- $c := .Values.controller -}}
metadata:
  labels:
    {{- include "portcullis.labels" (dict "root" . "component" "controller"
      "extra" (list $c.labels $c.podLabels)) | nindent 4 }}
  {{- with $c.podAnnotations }}
  annotations:
    {{- range $key, $value := . }}
    {{ $key | quote }}: {{ include "portcullis.text" $value | quote }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "portcullis.serviceAccount" . | quote }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automountServiceAccountToken }}
  terminationGracePeriodSeconds: {{ $c.terminationGracePeriodSeconds }}
  dnsPolicy: {{ $c.dnsPolicy }}
  {{- $plain := dict
    "dnsConfig" $c.dnsConfig
    "hostname" $c.hostname
    "imagePullSecrets" .Values.imagePullSecrets
    "priorityClassName" $c.priorityClassName
    "runtimeClassName" $c.runtimeClassName
    "shareProcessNamespace" $c.shareProcessNamespace
    "hostNetwork" $c.hostNetwork
    "nodeSelector" $c.nodeSelector
    "tolerations" $c.tolerations }}
  {{- range $key, $value := $plain }}
  {{- if $value }}
  {{- toYaml (dict $key $value) | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- $templated := dict
    "hostAliases" $c.hostAliases
    "affinity" $c.affinity
    "topologySpreadConstraints" $c.topologySpreadConstraints
    "initContainers" $c.extraInitContainers }}
  {{- range $key, $value := $templated }}
  {{- if $value }}
  {{- tpl (toYaml (dict $key $value)) $ | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- if or $c.podSecurityContext $c.sysctls }}
  securityContext:
    {{- with $c.podSecurityContext }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with $c.sysctls }}
    sysctls:
      {{- range $name, $value := . }}
      - name: {{ $name | quote }}
        value: {{ include "portcullis.text" $value | quote }}
      {{- end }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ $c.containerName }}
      image: {{ include "portcullis.image" (dict "root" . "image" $c.image "registry" "") | quote }}
      imagePullPolicy: {{ $c.image.pullPolicy }}
      command: [/portcullis, run]
      args:
        {{- include "portcullis.flags" . | trim | nindent 8 }}
      env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: POD_NAMESPACE
          valueFrom:
            fieldRef:
              fieldPath: metadata.namespace
        {{- with $c.extraEnvs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        {{- include "portcullis.containerPorts" . | trim | nindent 8 }}
      {{- range $key := list "lifecycle" "startupProbe" "livenessProbe" "readinessProbe" "resources" }}
      {{- with index $c $key }}
      {{ $key }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- if and $c.resizePolicy (semverCompare ">=1.33.0-0" .Capabilities.KubeVersion.Version) }}
      resizePolicy:
        {{- toYaml $c.resizePolicy | nindent 8 }}
      {{- end }}
      securityContext:
        {{- include "portcullis.securityContext" . | nindent 8 }}
      {{- with include "portcullis.mounts" . | trim }}
      volumeMounts:
        {{- . | nindent 8 }}
      {{- end }}
    {{- with $c.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with include "portcullis.volumes" . | trim }}
  volumes:
    {{- . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* What the restricted profile of the Pod security standards allows, and no capability but the one for low ports. */}}
{{- define "portcullis.securityContext" -}}
{{- $image := .Values.controller.image -}}
{{- if .Values.controller.containerSecurityContext -}}
{{- toYaml .Values.controller.containerSecurityContext -}}
{{- else -}}
runAsNonRoot: {{ $image.runAsNonRoot }}
runAsUser: {{ $image.runAsUser }}
runAsGroup: {{ $image.runAsGroup }}
allowPrivilegeEscalation: {{ $image.allowPrivilegeEscalation }}
readOnlyRootFilesystem: {{ $image.readOnlyRootFilesystem }}
capabilities:
  drop: [ALL]
  add: [NET_BIND_SERVICE]
{{- with $image.seccompProfile }}
seccompProfile:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "portcullis.containerPorts" -}}
{{- $c := .Values.controller -}}
{{- range $name, $port := $c.containerPort }}
- name: {{ $name }}
  containerPort: {{ $port }}
  protocol: TCP
  {{- if $c.hostPort.enabled }}
  hostPort: {{ index $c.hostPort.ports $name | default $port }}
  {{- end }}
{{- end }}
{{- if $c.metrics.enabled }}
- name: {{ $c.metrics.portName }}
  containerPort: {{ $c.metrics.port }}
  protocol: TCP
{{- end }}
{{- if $c.admissionWebhooks.enabled }}
- name: webhook
  containerPort: {{ $c.admissionWebhooks.port }}
  protocol: TCP
{{- end }}
{{- range $protocol := list "tcp" "udp" }}
{{- range $port, $_ := index $.Values $protocol }}
- name: {{ include "portcullis.streamPort" (dict "root" $ "port" $port "protocol" $protocol) }}
  containerPort: {{ $port }}
  protocol: {{ upper $protocol }}
  {{- if $c.hostPort.enabled }}
  hostPort: {{ $port }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Name of the port of a TCP or UDP service. */}}
{{- define "portcullis.streamPort" -}}
{{- with .root.Values.portNamePrefix }}{{ . }}-{{ end }}{{ .port }}-{{ .protocol -}}
{{- end -}}

{{- define "portcullis.mounts" -}}
{{- if eq (include "portcullis.ownTemporary" .) "true" }}
- name: temporary
  mountPath: /tmp
{{- end }}
{{- if has (include "portcullis.webhookCertificate" .) (list "cert-manager" "secret") }}
- name: webhook-cert
  mountPath: {{ dir .Values.controller.admissionWebhooks.certificate }}
  readOnly: true
{{- end }}
{{- with .Values.controller.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "portcullis.volumes" -}}
{{- $webhook := .Values.controller.admissionWebhooks -}}
{{- $certificate := include "portcullis.webhookCertificate" . -}}
{{- if eq (include "portcullis.ownTemporary" .) "true" }}
- name: temporary
  {{- toYaml .Values.controller.temporaryVolume | nindent 2 }}
{{- end }}
{{- if eq $certificate "cert-manager" }}
- name: webhook-cert
  secret:
    secretName: {{ include "portcullis.admission" . }}
    items:
      - key: tls.crt
        path: {{ base $webhook.certificate }}
      - key: tls.key
        path: {{ base $webhook.key }}
{{- else if eq $certificate "secret" }}
- name: webhook-cert
  secret:
    secretName: {{ $webhook.existingSecret | default (include "portcullis.admission" .) }}
{{- end }}
{{- with .Values.controller.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* "true" unless a mount of the user's stands at /tmp, where request bodies that do not stay in memory go. */}}
{{- define "portcullis.ownTemporary" -}}
{{- $own := true -}}
{{- range .Values.controller.extraVolumeMounts -}}
{{- if eq (clean .mountPath) "/tmp" -}}{{- $own = false -}}{{- end -}}
{{- end -}}
{{- $own -}}
{{- end -}}
