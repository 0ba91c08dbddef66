{{- /*
The server's configuration: built as a map from the values, written in nats-server's language. Two things that JSON
has no form for are spelled in strings and keys: "<< text >>" is written without quotes ($NAME, 10Gi), and a key that
ends in $include becomes `include value` where its name sorts.
*/ -}}

{{- define "ternmq.conf" -}}
{{- $config := .Values.config -}}
{{- $doc := dict
      "server_name" "<< $SERVER_NAME >>"
      "pid_file" "/var/run/nats/nats.pid"
      "lame_duck_grace_period" "10s"
      "lame_duck_duration" "30s"
      "port" $config.nats.port -}}
{{- if $config.nats.tls.enabled -}}
  {{- $_ := set $doc "tls" (include "ternmq.conf.tls" (dict "root" $ "tls" $config.nats.tls) | fromYaml) -}}
{{- end -}}
{{- range $protocol := list "leafnodes" "websocket" "mqtt" "cluster" "gateway" -}}
  {{- $block := get $config $protocol -}}
  {{- if $block.enabled -}}
    {{- $body := include (printf "ternmq.conf.%s" $protocol) $ | fromYaml -}}
    {{- $_ := set $body "port" $block.port -}}
    {{- if $block.tls.enabled -}}
      {{- $_ := set $body "tls" (include "ternmq.conf.tls" (dict "root" $ "tls" $block.tls) | fromYaml) -}}
    {{- end -}}
    {{- $_ := set $doc $protocol (include "ternmq.shape" (dict "doc" $body "by" $block) | fromYaml) -}}
  {{- end -}}
{{- end -}}
{{- if $config.monitor.enabled -}}
  {{- $_ := set $doc (ternary "https_port" "http_port" $config.monitor.tls.enabled) $config.monitor.port -}}
{{- end -}}
{{- if $config.profiling.enabled -}}
  {{- $_ := set $doc "prof_port" $config.profiling.port -}}
{{- end -}}
{{- if $config.jetstream.enabled -}}
  {{- $body := include "ternmq.conf.jetstream" $ | fromYaml -}}
  {{- $_ := set $doc "jetstream" (include "ternmq.shape" (dict "doc" $body "by" $config.jetstream) | fromYaml) -}}
{{- end -}}
{{- if $config.resolver.enabled -}}
  {{- $body := dict "dir" $config.resolver.dir -}}
  {{- $_ := set $doc "resolver" (include "ternmq.shape" (dict "doc" $body "by" $config.resolver) | fromYaml) -}}
{{- end -}}
{{- include "ternmq.shape" (dict "doc" $doc "by" $config) -}}
{{- end -}}

{{- define "ternmq.conf.leafnodes" -}}
no_advertise: true
{{- end -}}

{{- define "ternmq.conf.websocket" -}}
{{- if not .Values.config.websocket.tls.enabled -}}
no_tls: true
{{- end -}}
{{- end -}}

{{- define "ternmq.conf.mqtt" -}}
{{- end -}}

{{- define "ternmq.conf.gateway" -}}
name: {{ .Values.statefulSet.name }}
{{- end -}}

{{- /* Every node gets the routes to all, itself included: the same file serves all pods. */ -}}
{{- define "ternmq.conf.cluster" -}}
{{- $cluster := .Values.config.cluster -}}
{{- $urls := $cluster.routeURLs -}}
{{- $withUser := and $urls.user $urls.password -}}
{{- $login := ternary (printf "%s:%s@" (urlquery $urls.user) (urlquery $urls.password)) "" (not (empty $withUser)) -}}
{{- $domain := .Values.headlessService.name -}}
{{- if $urls.useFQDN -}}
  {{- $domain = printf "%s.%s.svc.%s" $domain (include "nats.namespace" .) $urls.k8sClusterDomain -}}
{{- end -}}
name: {{ .Values.statefulSet.name }}
no_advertise: {{ $cluster.noAdvertise }}
routes:
{{- range $ordinal := until (int $cluster.replicas) }}
- {{ printf "%s://%s%s-%d.%s:%d" (ternary "tls" "nats" $cluster.tls.enabled) $login $.Values.statefulSet.name $ordinal $domain (int $cluster.port) }}
{{- end }}
{{- if $withUser }}
authorization: {{ dict "user" $urls.user "password" $urls.password | toJson }}
{{- end }}
{{- end -}}

{{- define "ternmq.conf.jetstream" -}}
{{- $file := .Values.config.jetstream.fileStore -}}
{{- $memory := .Values.config.jetstream.memoryStore -}}
{{- if not $memory.enabled }}
max_memory_store: 0
{{- else if $memory.maxSize }}
max_memory_store: << {{ $memory.maxSize }} >>
{{- end }}
{{- if not $file.enabled }}
max_file_store: 0
{{- else }}
store_dir: {{ $file.dir }}
{{- with $file.maxSize | default (ternary $file.pvc.size "" $file.pvc.enabled) }}
max_file_store: << {{ . }} >>
{{- end }}
{{- end }}
{{- end -}}

{{- /* Input: root, tls (values of one listener). */ -}}
{{- define "ternmq.conf.tls" -}}
{{- $doc := dict -}}
{{- with .tls -}}
  {{- if .secretName -}}
    {{- $_ := set $doc "cert_file" (printf "%s/%s" (trimSuffix "/" .dir) (.cert | default "tls.crt")) -}}
    {{- $_ := set $doc "key_file" (printf "%s/%s" (trimSuffix "/" .dir) (.key | default "tls.key")) -}}
  {{- end -}}
{{- end -}}
{{- with include "ternmq.caFile" .root -}}
  {{- $_ := set $doc "ca_file" . -}}
{{- end -}}
{{- include "ternmq.shape" (dict "doc" $doc "by" .tls) -}}
{{- end -}}

{{- /* The CA bundle's path in every container, or nothing. */ -}}
{{- define "ternmq.caFile" -}}
{{- with .Values.tlsCA -}}
{{- if and .enabled (or .configMapName .secretName) -}}
{{ trimSuffix "/" .dir }}/{{ .key | default "ca.crt" }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Input: node, indent. Output: the text of a value. */ -}}
{{- define "ternmq.conf.text" -}}
{{- $indent := .indent -}}
{{- $deeper := printf "%s  " $indent -}}
{{- if and (kindIs "map" .node) .node -}}
{
{{- $last := keys .node | sortAlpha | last }}
{{- range $key, $child := .node }}
{{ $deeper }}
{{- if hasSuffix "$include" $key -}}
include {{ $child }};
{{- else -}}
{{ toRawJson $key }}: {{ include "ternmq.conf.text" (dict "node" $child "indent" $deeper) }}{{ if ne $key $last }},{{ end }}
{{- end }}
{{- end }}
{{ $indent }}}
{{- else if and (kindIs "slice" .node) .node -}}
[
{{- range $index, $child := .node }}
{{ $deeper }}{{ include "ternmq.conf.text" (dict "node" $child "indent" $deeper) }}{{ if ne (add1 $index) (len $.node | int64) }},{{ end }}
{{- end }}
{{ $indent }}]
{{- else if and (kindIs "string" .node) (regexMatch "^<<\\s+.*\\s+>>$" .node) -}}
{{ regexReplaceAll "^<<\\s+(.*?)\\s+>>$" .node "${1}" }}
{{- else -}}
{{ toRawJson .node }}
{{- end -}}
{{- end -}}

{{- /* The files that a configuration names, for the reloader to watch. Input: node, folder. Output: YAML list entries. */ -}}
{{- define "ternmq.conf.files" -}}
{{- $folder := .folder -}}
{{- if kindIs "map" .node -}}
{{- range $key, $child := .node -}}
{{- if has $key (list "cert_file" "key_file" "ca_file") }}
- -config
- {{ $child }}
{{- else if hasSuffix "$include" $key }}
- -config
- {{ clean (printf "%s/%s" $folder $child) }}
{{- else }}
{{- include "ternmq.conf.files" (dict "node" $child "folder" $folder) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
