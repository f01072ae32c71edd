{{/*
Flags of the controller, one a line. A flag that `controller.extraArgs` names is left to it, as the last one given
counts for ingress-nginx.
*/}}
{{- define "portcullis.flags" -}}
{{- $c := .Values.controller -}}
{{- $own := "$(POD_NAMESPACE)" -}}
{{- $full := include "portcullis.fullname" . -}}
{{- $flags := list -}}
{{- if not $c.enableAnnotationValidations -}}
{{- $flags = append $flags (list "enable-annotation-validation" "false") -}}
{{- end -}}
{{- if .Values.defaultBackend.enabled -}}
{{- $backend := printf "%s/%s" $own (include "portcullis.defaultBackend" .) -}}
{{- $flags = append $flags (list "default-backend-service" $backend) -}}
{{- end -}}
{{- with include "portcullis.publishService" . -}}
{{- $flags = append $flags (list "publish-service" .) -}}
{{- end -}}
{{- $flags = append $flags (list "election-id" (include "portcullis.lease" .)) -}}
{{- $flags = append $flags (list "controller-class" $c.ingressClassResource.controllerValue) -}}
{{- with $c.ingressClass -}}
{{- $flags = append $flags (list "ingress-class" .) -}}
{{- end -}}
{{- $config := printf "%s/%s" ($c.configMapNamespace | default $own) (include "portcullis.controller" .) -}}
{{- $flags = append $flags (list "configmap" $config) -}}
{{- range $protocol := list "tcp" "udp" -}}
{{- if index $.Values $protocol -}}
{{- $namespace := (index $c $protocol).configMapNamespace | default $own -}}
{{- $services := printf "%s/%s-%s" $namespace $full $protocol -}}
{{- $flags = append $flags (list (printf "%s-services-configmap" $protocol) $services) -}}
{{- end -}}
{{- end -}}
{{- if $c.scope.enabled -}}
{{- $flags = append $flags (list "watch-namespace" ($c.scope.namespace | default $own)) -}}
{{- else if $c.scope.namespaceSelector -}}
{{- $flags = append $flags (list "watch-namespace-selector" $c.scope.namespaceSelector) -}}
{{- end -}}
{{- if and $c.reportNodeInternalIp $c.hostNetwork -}}
{{- $flags = append $flags (list "report-node-internal-ip-address" "true") -}}
{{- end -}}
{{- $webhook := include "portcullis.webhookCertificate" . -}}
{{- if $webhook -}}
{{- $address := printf ":%s" (include "portcullis.text" $c.admissionWebhooks.port) -}}
{{- $flags = append $flags (list "validating-webhook" $address) -}}
{{- end -}}
{{- if eq $webhook "own" -}}
{{- $admission := include "portcullis.admission" . -}}
{{- $flags = append $flags (list "validating-webhook-secret" (printf "%s/%s" $own $admission)) -}}
{{- $flags = append $flags (list "validating-webhook-configuration" $admission) -}}
{{- else if $webhook -}}
{{- $flags = append $flags (list "validating-webhook-certificate" $c.admissionWebhooks.certificate) -}}
{{- $flags = append $flags (list "validating-webhook-key" $c.admissionWebhooks.key) -}}
{{- end -}}
{{- with $c.healthCheckHost -}}
{{- $flags = append $flags (list "healthz-host" .) -}}
{{- end -}}
{{- if ne $c.healthCheckPath "/healthz" -}}
{{- $flags = append $flags (list "health-check-path" $c.healthCheckPath) -}}
{{- end -}}
{{- range $flag, $set := dict
  "ingress-class-by-name" $c.ingressClassByName
  "watch-ingress-without-class" $c.watchIngressWithoutClass
  "enable-metrics" $c.metrics.enabled
  "enable-topology-aware-routing" $c.enableTopologyAwareRouting
  "disable-leader-election" $c.disableLeaderElection -}}
{{- if $set -}}
{{- $flags = append $flags (list $flag "true") -}}
{{- end -}}
{{- end -}}
{{- with $c.electionTTL -}}
{{- $flags = append $flags (list "election-ttl" .) -}}
{{- end -}}
{{- range $flag := $flags -}}
{{- if not (hasKey ($c.extraArgs | default dict) (first $flag)) }}
- {{ printf "--%s=%s" (first $flag) (last $flag) | toJson }}
{{- end -}}
{{- end -}}
{{- range $flag, $value := $c.extraArgs -}}
{{- $text := include "portcullis.text" $value }}
- {{ ternary (printf "--%s" $flag) (printf "--%s=%s" $flag $text) (empty $text) | toJson }}
{{- end -}}
{{- end -}}

{{/* namespace/name of the Service whose addresses Ingresses get, or nothing. */}}
{{- define "portcullis.publishService" -}}
{{- $service := .Values.controller.service -}}
{{- $publish := .Values.controller.publishService -}}
{{- $name := include "portcullis.controller" . -}}
{{- $internal := include "portcullis.furtherService" (list . "internal") -}}
{{- if and $publish.enabled $service.enabled $service.external.enabled -}}
{{- $publish.pathOverride | default (printf "$(POD_NAMESPACE)/%s" $name) -}}
{{- else if and $publish.enabled $service.enabled $service.internal.enabled -}}
{{- ternary (printf "%s-internal" $publish.pathOverride) (printf "$(POD_NAMESPACE)/%s" $internal)
  (not (empty $publish.pathOverride)) -}}
{{- end -}}
{{- end -}}

{{/*
Where the webhook's certificate comes from: "own" (the controller makes and renews it), "cert-manager", "secret" (an
existing one), or nothing without a webhook.
*/}}
{{- define "portcullis.webhookCertificate" -}}
{{- $webhook := .Values.controller.admissionWebhooks -}}
{{- if not $webhook.enabled -}}
{{- else if $webhook.certManager.enabled -}}cert-manager
{{- else if $webhook.patch.enabled -}}own
{{- else -}}secret
{{- end -}}
{{- end -}}
