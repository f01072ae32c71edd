{{/* Spec of a HorizontalPodAutoscaler. Shape: (dict "target" Deployment "autoscaling" map "extra" list) */}}
{{- define "portcullis.autoscaling" -}}
scaleTargetRef:
  apiVersion: apps/v1
  kind: Deployment
  name: {{ .target }}
minReplicas: {{ .autoscaling.minReplicas }}
maxReplicas: {{ .autoscaling.maxReplicas }}
metrics:
{{- range $resource, $percent := dict
  "cpu" .autoscaling.targetCPUUtilizationPercentage "memory" .autoscaling.targetMemoryUtilizationPercentage }}
{{- if $percent }}
  - type: Resource
    resource:
      name: {{ $resource }}
      target:
        type: Utilization
        averageUtilization: {{ $percent }}
{{- end }}
{{- end }}
{{- with .extra }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .autoscaling.behavior }}
behavior:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Spec of a PodDisruptionBudget: maxUnavailable, where it is set, wins. Shape: (dict "root" $ "component" name "of" map)
*/}}
{{- define "portcullis.disruption" -}}
selector:
  matchLabels:
    {{- include "portcullis.selector" . | nindent 4 }}
{{- if hasKey .of "maxUnavailable" }}
maxUnavailable: {{ .of.maxUnavailable }}
{{- else }}
minAvailable: {{ .of.minAvailable }}
{{- end }}
{{- with .of.unhealthyPodEvictionPolicy }}
unhealthyPodEvictionPolicy: {{ . }}
{{- end }}
{{- end -}}
