{{/*
Names each key of the values that the chart does not know, and each that it knows and that has no effect, one a line.
`known` is the part of files/known-keys.yaml for the same place: a map goes deeper, text says why the key has no
effect, anything else ends the walk.
Shape: (dict "values" map "known" map "path" "controller.")
*/}}
{{- define "portcullis.unknownKeys" -}}
{{- $known := .known -}}
{{- $path := .path -}}
{{- range $key, $value := .values -}}
{{- $entry := get $known $key -}}
{{- if not (hasKey $known $key) }}
{{ $path }}{{ $key }}: not known
{{- else if and (kindIs "string" $entry) $value }}
{{ $path }}{{ $key }}: {{ $entry }}
{{- else if and (kindIs "map" $entry) (kindIs "map" $value) -}}
{{- include "portcullis.unknownKeys" (dict "values" $value "known" $entry "path" (printf "%s%s." $path $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "portcullis.notes" -}}
{{- $c := .Values.controller -}}
{{- $namespace := include "portcullis.namespace" . -}}
{{- $name := include "portcullis.controller" . -}}
Portcullis {{ .Chart.AppVersion }} is installed as {{ $name }} in namespace {{ $namespace }}.
It serves Ingresses of class {{ $c.ingressClassResource.name }}.
{{- if and $c.service.enabled $c.service.external.enabled }}

Its address{{ if eq $c.service.type "LoadBalancer" }} (a load balancer may need some minutes){{ end }}:

  kubectl get service --namespace {{ $namespace }} {{ $name }}
{{- end }}

A first Ingress, for a Service named wear-service:

  kubectl create ingress shop --class={{ $c.ingressClassResource.name }} \
    --rule="wear.my-online-store.com/*=wear-service:80"

What is wrong with an Ingress stands in its Events: kubectl describe ingress NAME
{{- if eq (include "portcullis.webhookCertificate" .) "secret" }}

{{- $secret := $c.admissionWebhooks.existingSecret | default (include "portcullis.admission" .) }}
The webhook's certificate is taken from Secret {{ $secret }} (keys cert and key).
{{- if not $c.admissionWebhooks.caBundle }}
Without controller.admissionWebhooks.caBundle somebody else must put the CA into the ValidatingWebhookConfiguration
{{ include "portcullis.admission" . }}, or every change of an Ingress is refused.
{{- end }}
{{- end }}
{{- if eq (include "portcullis.reportsNodes" .) "true" }}

No Service is published: Ingresses get the addresses of the nodes.
{{- end }}
{{- $known := .Files.Get "files/known-keys.yaml" | fromYaml }}
{{- with include "portcullis.unknownKeys" (dict "values" .Values "known" $known "path" "") | trim }}

These values are set and do nothing here:
{{ . | nindent 2 }}
{{- end }}
{{- end -}}
