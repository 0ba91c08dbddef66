{{- /* nats-box: a pod with the `nats` command, its contexts prepared; `helm test` runs in pods of the same make. */ -}}

{{- /* Secrets the contexts name, as [{name, secretName, dir}], JSON. */ -}}
{{- define "ternmq.box.secrets" -}}
{{- $found := list -}}
{{- range $context, $ways := .Values.natsBox.contexts -}}
  {{- range $way := list "creds" "nkey" "tls" -}}
    {{- with get $ways $way -}}
      {{- if .secretName -}}
        {{- $found = append $found (dict "name" (printf "ctx-%s-%s" $context $way) "secretName" .secretName "dir" .dir) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- /* Credentials given in the values themselves: file name to content, JSON. */ -}}
{{- define "ternmq.box.contents" -}}
{{- $files := dict -}}
{{- range $context, $ways := .Values.natsBox.contexts -}}
  {{- range $way, $suffix := dict "creds" "creds" "nkey" "nk" -}}
    {{- with get $ways $way -}}
      {{- if .contents -}}
        {{- $_ := set $files (printf "%s.%s" $context $suffix) .contents -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{- /* One context of the `nats` command. Input: root, name, ways. Output: YAML. */ -}}
{{- define "ternmq.box.context" -}}
{{- $values := .root.Values -}}
{{- $doc := dict "url" (printf "nats://%s" (ternary $values.service.name $values.headlessService.name $values.service.enabled)) -}}
{{- $name := .name -}}
{{- range $way, $key := dict "creds" "creds" "nkey" "nkey" -}}
  {{- with get $.ways $way -}}
    {{- if .contents -}}
      {{- $_ := set $doc $key (printf "/etc/nats-contents/%s.%s" $name (ternary "creds" "nk" (eq $way "creds"))) -}}
    {{- else if .secretName -}}
      {{- $_ := set $doc $key (printf "%s/%s" (trimSuffix "/" .dir) (.key | default (ternary "nats.creds" "nats.nk" (eq $way "creds")))) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- with .ways.tls -}}
  {{- if .secretName -}}
    {{- $_ := set $doc "cert" (printf "%s/%s" (trimSuffix "/" .dir) (.cert | default "tls.crt")) -}}
    {{- $_ := set $doc "key" (printf "%s/%s" (trimSuffix "/" .dir) (.key | default "tls.key")) -}}
  {{- end -}}
{{- end -}}
{{- if $values.config.nats.tls.enabled -}}
  {{- with include "ternmq.caFile" .root -}}
    {{- $_ := set $doc "ca" . -}}
  {{- end -}}
{{- end -}}
{{- include "ternmq.shape" (dict "doc" $doc "by" .ways) -}}
{{- end -}}

{{- define "ternmq.box.container" -}}
{{- $box := .Values.natsBox -}}
name: nats-box
{{ include "ternmq.image" (dict "root" . "image" $box.container.image) }}
{{- with $box.container.env }}
env:
{{- include "ternmq.environment" . }}
{{- end }}
command:
- sh
- -ec
- |
  contexts="$XDG_CONFIG_HOME/nats"
  mkdir -p "$contexts"
  [ -s "$contexts/context" ] || ln -s /etc/nats-contexts "$contexts/context"
  {{- with $box.defaultContextName }}
  [ -f "$contexts/context.txt" ] || printf %s {{ . | squote }} > "$contexts/context.txt"
  {{- end }}
  exec /entrypoint.sh "$@"
- --
args: [sh, -ec, "trap true INT TERM; sleep infinity & wait"]
volumeMounts:
- name: contexts
  mountPath: /etc/nats-contexts
{{- if ne (include "ternmq.box.contents" .) "{}" }}
- name: contents
  mountPath: /etc/nats-contents
{{- end }}
{{- include "ternmq.caMount" . }}
{{- range include "ternmq.box.secrets" . | fromJsonArray }}
- name: {{ .name | quote }}
  mountPath: {{ .dir | quote }}
{{- end }}
resources: {{ $box.container.resources | default dict | toJson }}
{{- end -}}

{{- /* Input: root, container (values with merge and patch). */ -}}
{{- define "ternmq.box.pod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "natsBox.labels" $root | nindent 4 }}
spec:
  containers:
  - {{ include "ternmq.object" (dict "body" (include "ternmq.box.container" $root) "by" .container) | fromYaml | toJson }}
  enableServiceLinks: false
  {{- include "ternmq.pullSecrets" $root | nindent 2 }}
  {{- if $root.Values.natsBox.serviceAccount.enabled }}
  serviceAccountName: {{ $root.Values.natsBox.serviceAccount.name | quote }}
  {{- end }}
  volumes:
  - name: contexts
    secret:
      secretName: {{ $root.Values.natsBox.contextsSecret.name }}
  {{- if ne (include "ternmq.box.contents" $root) "{}" }}
  - name: contents
    secret:
      secretName: {{ $root.Values.natsBox.contentsSecret.name }}
  {{- end }}
  {{- include "ternmq.caVolume" $root | nindent 2 }}
  {{- range include "ternmq.box.secrets" $root | fromJsonArray }}
  - name: {{ .name | quote }}
    secret:
      secretName: {{ .secretName | quote }}
  {{- end }}
{{- end -}}

{{- /* A pod that `helm test` runs and removes again where it succeeded. Input: root, name, script. */ -}}
{{- define "ternmq.box.test" -}}
{{- $box := .root.Values.natsBox -}}
{{- $name := printf "%s-test-%s" .root.Values.statefulSet.name .name -}}
{{- $body := include "ternmq.box.pod" (dict "root" .root "container" $box.container) -}}
{{- $pod := include "ternmq.object" (dict "body" $body "by" $box.podTemplate) | fromYaml -}}
{{- $_ := set (first $pod.spec.containers) "args" (list "sh" "-ec" .script) -}}
{{- $hooks := dict "helm.sh/hook" "test" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" -}}
{{- $marks := dict "name" $name "annotations" $hooks "labels" (dict "app.kubernetes.io/component" (printf "test-%s" .name)) -}}
{{- mergeOverwrite $pod (dict "apiVersion" "v1" "kind" "Pod" "metadata" $marks "spec" (dict "restartPolicy" "Never")) | toYaml -}}
{{- end -}}
