{{- /*
Names, labels and images. The templates called nats.* and natsBox.* carry the names that values files written for the
NATS chart call from $tplYaml; objects are named as that chart names them, so `nats` is the chart's name in them.
*/ -}}

{{- define "nats.name" -}}
{{ .Values.nameOverride | default "nats" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "nats.fullname" -}}
{{- $short := .Values.nameOverride | default "nats" -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $short) (contains $short .Release.Name) -}}
{{ .Values.fullnameOverride | default $full | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "nats.chart" -}}
{{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "nats.namespace" -}}
{{ .Values.namespaceOverride | default .Release.Namespace }}
{{- end -}}

{{- /* For the metadata of an object: only where it differs from the release's own. */ -}}
{{- define "nats.metadataNamespace" -}}
{{- if .Values.namespaceOverride }}
namespace: {{ .Values.namespaceOverride | quote }}
{{- end }}
{{- end -}}

{{- define "ternmq.identity" -}}
app.kubernetes.io/name: {{ include "nats.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "ternmq.labels" -}}
{{- with .root.Values.global.labels }}
{{ toYaml . }}
{{- end }}
{{ include "ternmq.identity" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ include "nats.chart" .root }}
{{- end -}}

{{- define "nats.selectorLabels" -}}{{ include "ternmq.identity" (dict "root" . "component" "nats") }}{{- end -}}
{{- define "nats.labels" -}}{{ include "ternmq.labels" (dict "root" . "component" "nats") | trim }}{{- end -}}
{{- define "natsBox.selectorLabels" -}}{{ include "ternmq.identity" (dict "root" . "component" "nats-box") }}{{- end -}}
{{- define "natsBox.labels" -}}{{ include "ternmq.labels" (dict "root" . "component" "nats-box") | trim }}{{- end -}}

{{- /* The metadata every object opens with. Input: root, name, component. */ -}}
{{- define "ternmq.metadata" -}}
metadata:
  name: {{ .name }}
  {{- include "nats.metadataNamespace" .root | nindent 2 }}
  labels:
    {{- include "ternmq.labels" . | trim | nindent 4 }}
{{- end -}}

{{- /* image and imagePullPolicy of a container. Input: root, image (a map of the values). */ -}}
{{- define "ternmq.image" -}}
{{- $image := .image -}}
{{- $global := .root.Values.global.image -}}
{{- $tag := $image.tag | default .root.Chart.AppVersion -}}
{{- $reference := ternary (printf "%s@%s" $image.repository $image.digest) (printf "%s:%s" $image.repository $tag) (not (empty $image.digest)) -}}
{{- with $image.registry | default $global.registry -}}
{{- $reference = printf "%s/%s" . $reference -}}
{{- end -}}
image: {{ $image.fullImageName | default $reference }}
{{- with $image.pullPolicy | default $global.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end -}}

{{- define "ternmq.pullSecrets" -}}
{{- with .Values.global.image.pullSecretNames }}
imagePullSecrets:
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Environment: a map of name to text, or to the rest of an EnvVar. */ -}}
{{- define "ternmq.environment" -}}
{{- range $name, $value := . }}
{{- if kindIs "string" $value }}
- {{ dict "name" $name "value" $value | toJson }}
{{- else if kindIs "map" $value }}
- {{ merge (dict "name" $name) $value | toJson }}
{{- else }}
{{- fail (printf "environment variable %s: text or a map is wanted, not %s (quote numbers)" $name (kindOf $value)) }}
{{- end }}
{{- end }}
{{- end -}}
