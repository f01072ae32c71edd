{{/*
RBAC rules. Each define is a list of rules for one scope; who binds them where stands in rbac.yaml.
*/}}

{{/* In every watched namespace: what Ingresses refer to, their status and their Events. */}}
{{- define "portcullis.rules.watched" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch]
{{- if ne (include "portcullis.text" (get (.Values.controller.extraArgs | default dict) "update-status")) "false" }}
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [update]
{{- end }}
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps, secrets]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [portcullis.dev]
  resources: [ingressclassparameters]
  verbs: [list, watch]
{{- end -}}

{{/* Of the whole cluster: classes, and only where they are used Namespaces and Nodes. */}}
{{- define "portcullis.rules.cluster" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [list, watch]
- apiGroups: [portcullis.dev]
  resources: [clusteringressclassparameters]
  verbs: [list, watch]
{{- if eq (include "portcullis.selectsNamespaces" .) "true" }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end }}
{{- if eq (include "portcullis.reportsNodes" .) "true" }}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get]
{{- end }}
{{- end -}}

{{/* In the controller's own namespace: its configuration, its replicas, its Lease, its certificate. */}}
{{- define "portcullis.rules.own" -}}
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [configmaps, pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "portcullis.lease" . }}]
  verbs: [get, update]
{{- if eq (include "portcullis.webhookCertificate" .) "own" }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ include "portcullis.admission" . }}]
  verbs: [get, update]
{{- end }}
{{- end -}}

{{/* Of the whole cluster, too: the webhook's configuration, which the CA of the certificate is written into. */}}
{{- define "portcullis.rules.webhook" -}}
- apiGroups: [admissionregistration.k8s.io]
  resources: [validatingwebhookconfigurations]
  resourceNames: [{{ include "portcullis.admission" . }}]
  verbs: [get, update]
{{- end -}}

{{- define "portcullis.selectsNamespaces" -}}
{{- $c := .Values.controller -}}
{{- or (not (empty $c.scope.namespaceSelector)) (hasKey ($c.extraArgs | default dict) "watch-namespace-selector") -}}
{{- end -}}

{{/* "true" where status is the addresses of nodes: neither a Service nor a fixed address is published. */}}
{{- define "portcullis.reportsNodes" -}}
{{- $args := .Values.controller.extraArgs | default dict -}}
{{- $fixed := or (hasKey $args "publish-service") (hasKey $args "publish-status-address") -}}
{{- $published := or (include "portcullis.publishService" .) $fixed -}}
{{- empty $published -}}
{{- end -}}
