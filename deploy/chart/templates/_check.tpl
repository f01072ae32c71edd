{{/* What cannot work is refused here, with what to do instead. */}}
{{- define "portcullis.check" -}}
{{- $c := .Values.controller -}}
{{- $image := include "portcullis.image" (dict "root" . "image" $c.image "registry" "") -}}
{{- $others := list "^registry\\.k8s\\.io/" "^k8s\\.gcr\\.io/" "ingress-nginx/controller" "nginx-ingress-controller" -}}
{{- if regexMatch (join "|" $others) $image -}}
{{- fail (printf "controller.image gives %s, which is no image of Portcullis: %s, %s" $image
  "remove registry, repository, image, tag and digest from controller.image (and global.image.registry)"
  "or name an image of Portcullis") -}}
{{- end -}}
{{- if and .Values.rbac.scope (not $c.scope.enabled) -}}
{{- fail "rbac.scope needs controller.scope.enabled: without a ClusterRole only one namespace can be watched" -}}
{{- end -}}
{{- if and $c.scope.enabled $c.scope.namespaceSelector -}}
{{- fail (printf "controller.scope.enabled and controller.scope.namespaceSelector exclude each other: %s"
  "one namespace or a selector") -}}
{{- end -}}
{{- if and $c.autoscaling.enabled $c.keda.enabled -}}
{{- fail (printf "controller.autoscaling.enabled and controller.keda.enabled exclude each other: %s"
  "KEDA makes a HorizontalPodAutoscaler of its own") -}}
{{- end -}}
{{- $folders := list (dir $c.admissionWebhooks.certificate) (dir $c.admissionWebhooks.key) | uniq -}}
{{- if and (has (include "portcullis.webhookCertificate" .) (list "secret" "cert-manager")) (gt (len $folders) 1) -}}
{{- fail "controller.admissionWebhooks.certificate and .key must stand in one folder: one Secret is mounted there" -}}
{{- end -}}
{{- end -}}
