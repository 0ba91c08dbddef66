{{- /*
What every file does first: names that the values leave empty get their defaults, $tplYaml in values is carried out,
and the server's configuration is built, once for all files (Helm shares the context among the files of a chart).
*/ -}}

{{- define "ternmq.prepare" -}}
{{- if not (hasKey . "serverConf") -}}
  {{- $full := include "nats.fullname" . -}}
  {{- $values := .Values -}}
  {{- range $suffix, $blocks := dict
        "" (list $values.statefulSet $values.service $values.serviceAccount $values.podDisruptionBudget
                 $values.promExporter.podMonitor $values.metrics.podMonitor $values.metrics.serviceMonitor)
        "-headless" (list $values.headlessService)
        "-config" (list $values.configMap)
        "-js" (list $values.config.jetstream.fileStore.pvc)
        "-resolver" (list $values.config.resolver.pvc)
        "-ws" (list $values.config.websocket.ingress)
        "-box" (list $values.natsBox.deployment $values.natsBox.serviceAccount)
        "-box-contexts" (list $values.natsBox.contextsSecret)
        "-box-contents" (list $values.natsBox.contentsSecret) -}}
    {{- range $blocks -}}
      {{- $_ := set . "name" (.name | default (printf "%s%s" $full $suffix)) -}}
    {{- end -}}
  {{- end -}}
  {{- if contains "\"$tplYaml" (toJson $values) -}}
    {{- $_ := set . "Values" (get (include "ternmq.resolve" (dict "node" $values "root" .) | fromJson) "value") -}}
  {{- end -}}
  {{- range $context, $ways := .Values.natsBox.contexts -}}
    {{- range $way, $folder := dict "creds" "nats-creds" "nkey" "nats-nkeys" "tls" "nats-certs" -}}
      {{- with get $ways $way -}}
        {{- $_ := set . "dir" (.dir | default (printf "/etc/%s/%s" $folder $context)) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $_ := set . "serverConf" (include "ternmq.conf" . | fromYaml) -}}
{{- end -}}
{{- end -}}

{{- /*
A value in which {$tplYaml: text} is replaced by what the text renders to, read as YAML, and {$tplYamlSpread: text} by
its entries, which join the map or list around it. Input: node, root. Output: JSON {value, spread}.
*/ -}}
{{- define "ternmq.resolve" -}}
{{- $root := .root -}}
{{- $result := .node -}}
{{- $spread := false -}}
{{- if kindIs "map" .node -}}
  {{- $way := keys .node | first | default "" -}}
  {{- if and (eq (len .node) 1) (has $way (list "$tplYaml" "$tplYamlSpread")) -}}
    {{- $text := tpl (get .node $way) $root -}}
    {{- $read := fromYaml (printf "value:\n%s" (indent 2 $text)) -}}
    {{- with $read.Error -}}{{- fail (printf "%s: %s" $way .) -}}{{- end -}}
    {{- $result = get $read "value" -}}
    {{- $spread = eq $way "$tplYamlSpread" -}}
  {{- else -}}
    {{- $result = dict -}}
    {{- range $key, $child := .node -}}
      {{- $resolved := include "ternmq.resolve" (dict "node" $child "root" $root) | fromJson -}}
      {{- if not $resolved.spread -}}
        {{- $_ := set $result $key $resolved.value -}}
      {{- else if kindIs "map" $resolved.value -}}
        {{- $result = mergeOverwrite $result $resolved.value -}}
      {{- else if $resolved.value -}}
        {{- fail (printf "$tplYamlSpread at %s: a %s cannot join a map" $key (kindOf $resolved.value)) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- else if kindIs "slice" .node -}}
  {{- $result = list -}}
  {{- range .node -}}
    {{- $resolved := include "ternmq.resolve" (dict "node" . "root" $root) | fromJson -}}
    {{- if not $resolved.spread -}}
      {{- $result = append $result $resolved.value -}}
    {{- else if kindIs "slice" $resolved.value -}}
      {{- $result = concat $result $resolved.value -}}
    {{- else if $resolved.value -}}
      {{- fail (printf "$tplYamlSpread: a %s cannot join a list" (kindOf $resolved.value)) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- dict "value" $result "spread" $spread | toJson -}}
{{- end -}}
