{{- /* An image by digest; by tag only where that was allowed. Arguments: what it is called in the values, the image, the root. */ -}}
{{- define "hozen.imageOf" -}}
{{- $path := index . 0 }}{{ $image := index . 1 }}{{ $root := index . 2 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else if and $root.Values.allowTags $image.tag -}}
{{ $image.repository }}:{{ $image.tag }}
{{- else -}}
{{- fail (printf "%s.digest is missing: write the digest of the image, sha256: and 64 hex digits (to try Hozen out: %s.tag, and allowTags: true)" $path $path) -}}
{{- end -}}
{{- end -}}

{{- define "hozen.agentImage" -}}
{{ include "hozen.imageOf" (list "agent.image" .Values.agent.image .) }}
{{- end -}}

{{- define "hozen.image" -}}
{{ include "hozen.imageOf" (list "image" .Values.image .) }}
{{- end -}}

{{- /* Name of the claim that the audit trail is kept on; empty: it goes to standard output. */ -}}
{{- define "hozen.auditClaim" -}}
{{- $audit := .Values.operator.audit -}}
{{- if and $audit.existingClaim $audit.size -}}
{{- fail "operator.audit.existingClaim and operator.audit.size are both set: leave size out to use the claim that is there, or existingClaim to have one made" -}}
{{- end -}}
{{- if and (or $audit.existingClaim $audit.size) (gt (int .Values.operator.replicas) 1) -}}
{{- fail "operator.audit names a volume, and a trail's file has one writer: write operator.replicas: 1, or leave operator.audit out and keep the trail by the pods' logs" -}}
{{- end -}}
{{- if $audit.size }}hozen-audit{{ else }}{{ $audit.existingClaim }}{{ end -}}
{{- end -}}

{{- define "hozen.labels" -}}
app.kubernetes.io/name: hozen
app.kubernetes.io/part-of: hozen
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "hozen.subjects" -}}
{{- range . }}
- kind: {{ .kind }}
  name: {{ .name | quote }}
  {{- if eq .kind "ServiceAccount" }}
  namespace: {{ .namespace }}
  {{- else }}
  apiGroup: rbac.authorization.k8s.io
  {{- end }}
{{- end }}
{{- end -}}
