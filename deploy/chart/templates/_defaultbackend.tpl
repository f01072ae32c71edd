{{/* The Pod of the default backend. */}}
{{- define "portcullis.defaultBackendPod" -}}
{{- $b := .Values.defaultBackend -}}
metadata:
  labels:
    {{- include "portcullis.labels" (dict "root" . "component" "default-backend"
      "extra" (list $b.labels $b.podLabels)) | nindent 4 }}
  {{- with $b.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "portcullis.defaultBackendServiceAccount" . }}
  automountServiceAccountToken: {{ $b.serviceAccount.automountServiceAccountToken }}
  terminationGracePeriodSeconds: 60
  {{- $plain := dict
    "imagePullSecrets" .Values.imagePullSecrets
    "priorityClassName" $b.priorityClassName
    "runtimeClassName" $b.runtimeClassName
    "securityContext" $b.podSecurityContext
    "nodeSelector" $b.nodeSelector
    "tolerations" $b.tolerations }}
  {{- range $key, $value := $plain }}
  {{- if $value }}
  {{- toYaml (dict $key $value) | nindent 2 }}
  {{- end }}
  {{- end }}
  {{- $templated := dict
    "affinity" $b.affinity "topologySpreadConstraints" $b.topologySpreadConstraints "volumes" $b.extraVolumes }}
  {{- range $key, $value := $templated }}
  {{- if $value }}
  {{- tpl (toYaml (dict $key $value)) $ | nindent 2 }}
  {{- end }}
  {{- end }}
  containers:
    - name: {{ include "portcullis.name" . }}-default-backend
      image: {{ include "portcullis.image" (dict "root" . "image" $b.image "registry" "registry.k8s.io") | quote }}
      imagePullPolicy: {{ $b.image.pullPolicy }}
      {{- with $b.extraArgs }}
      args:
        {{- range $flag, $value := . }}
        {{- $text := include "portcullis.text" $value }}
        - {{ ternary (printf "--%s" $flag) (printf "--%s=%s" $flag $text) (empty $text) | quote }}
        {{- end }}
      {{- end }}
      {{- with $b.extraEnvs }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: {{ $b.port }}
          protocol: TCP
      {{- range $probe := list "livenessProbe" "readinessProbe" }}
      {{- with index $b $probe }}
      {{ $probe }}:
        {{- $request := dict "path" "/healthz" "port" $b.port "scheme" "HTTP" }}
        {{- toYaml (mergeOverwrite (dict "httpGet" $request) (deepCopy .)) | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- with $b.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- if $b.containerSecurityContext }}
        {{- toYaml $b.containerSecurityContext | nindent 8 }}
        {{- else }}
        runAsNonRoot: {{ $b.image.runAsNonRoot }}
        runAsUser: {{ $b.image.runAsUser }}
        runAsGroup: {{ $b.image.runAsGroup }}
        allowPrivilegeEscalation: {{ $b.image.allowPrivilegeEscalation }}
        readOnlyRootFilesystem: {{ $b.image.readOnlyRootFilesystem }}
        capabilities:
          drop: [ALL]
        {{- with $b.image.seccompProfile }}
        seccompProfile:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- end }}
      {{- with $b.extraVolumeMounts }}
      volumeMounts:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}
