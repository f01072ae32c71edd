{{/*
Names and labels. Their shape is ingress-nginx's, so that a release with `nameOverride: ingress-nginx` has the very
names and selectors of the release it takes the place of.
*/}}

{{- define "portcullis.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "portcullis.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "portcullis.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "portcullis.controller" -}}
{{- printf "%s-%s" (include "portcullis.fullname" .) .Values.controller.name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "portcullis.admission" -}}
{{- $name := .Values.controller.admissionWebhooks.name -}}
{{- printf "%s-%s" (include "portcullis.fullname" .) $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Name of a further Service of the controller, in the 63 characters that it may have. Shape: (list $ "metrics") */}}
{{- define "portcullis.furtherService" -}}
{{- $suffix := last . -}}
{{- $room := sub 62 (len $suffix) | int -}}
{{- printf "%s-%s" (include "portcullis.controller" (first .) | trunc $room | trimSuffix "-") $suffix -}}
{{- end -}}

{{- define "portcullis.defaultBackend" -}}
{{- printf "%s-%s" (include "portcullis.fullname" .) .Values.defaultBackend.name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "portcullis.lease" -}}
{{- .Values.controller.electionID | default (printf "%s-leader" (include "portcullis.fullname" .)) -}}
{{- end -}}

{{- define "portcullis.serviceAccount" -}}
{{- $own := ternary (include "portcullis.fullname" .) "default" .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default $own -}}
{{- end -}}

{{- define "portcullis.defaultBackendServiceAccount" -}}
{{- $account := .Values.defaultBackend.serviceAccount -}}
{{- $own := ternary (printf "%s-backend" (include "portcullis.fullname" .)) "default" $account.create -}}
{{- $account.name | default $own -}}
{{- end -}}

{{/* Labels that selectors use. Shape: (dict "root" $ "component" "controller") */}}
{{- define "portcullis.selector" -}}
app.kubernetes.io/name: {{ include "portcullis.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* All labels of an object; later maps win. Shape: (dict "root" $ "component" "controller" "extra" (list map)) */}}
{{- define "portcullis.labels" -}}
{{- $labels := dict
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/part-of" (include "portcullis.name" .root)
  "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- range prepend (.extra | default list) .root.Values.commonLabels -}}
{{- $labels = mergeOverwrite $labels (deepCopy (. | default dict)) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $labels (include "portcullis.selector" . | fromYaml)) -}}
{{- end -}}

{{/* Labels of the objects that have no key of their own for them. */}}
{{- define "portcullis.controllerLabels" -}}
{{- include "portcullis.labels" (dict "root" . "component" "controller"
  "extra" (list .Values.controller.labels)) -}}
{{- end -}}

{{- define "portcullis.defaultBackendLabels" -}}
{{- include "portcullis.labels" (dict "root" . "component" "default-backend"
  "extra" (list .Values.defaultBackend.labels)) -}}
{{- end -}}

{{/* Annotations: any scalar becomes text, the text is a template. Shape: (dict "root" $ "annotations" map) */}}
{{- define "portcullis.annotations" -}}
{{- range $key, $value := .annotations }}
{{ $key | quote }}: {{ tpl (include "portcullis.text" $value) $.root | quote }}
{{- end }}
{{- end -}}

{{/* A scalar as a user would write it: Helm reads 31449600 as a float, whose own text would be 3.14496e+07. */}}
{{- define "portcullis.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- printf "%.0f" . -}}
{{- else if not (kindIs "invalid" .) -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/*
Image reference. `repository` is the whole name; otherwise it is [registry/]image.
Shape: (dict "root" $ "image" map "registry" "used when nothing names one")
*/}}
{{- define "portcullis.image" -}}
{{- $image := .image -}}
{{- $registry := $image.registry | default ((.root.Values.global).image).registry | default .registry -}}
{{- $name := ternary (printf "%s/%s" $registry $image.image) (toString $image.image) (not (empty $registry)) -}}
{{- $image.repository | default $name -}}:{{- include "portcullis.text" $image.tag | default .root.Chart.AppVersion -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* Under these names values files made for ingress-nginx use them, mostly in affinity rules. */}}
{{- define "ingress-nginx.name" -}}{{- include "portcullis.name" . -}}{{- end -}}
{{- define "ingress-nginx.fullname" -}}{{- include "portcullis.fullname" . -}}{{- end -}}
{{- define "ingress-nginx.controller.fullname" -}}{{- include "portcullis.controller" . -}}{{- end -}}
{{- define "ingress-nginx.selectorLabels" -}}
app.kubernetes.io/name: {{ include "portcullis.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
