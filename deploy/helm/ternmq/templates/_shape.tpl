{{- /*
How a rendered object or configuration block becomes what the user wants of it: `merge` (a deep merge), then `patch`
(RFC 6902). Values travel between templates as JSON, the only thing that a template can return.
*/ -}}

{{- /* Input: doc (a map), by (values with merge and patch). Output: YAML. */ -}}
{{- define "ternmq.shape" -}}
{{- $doc := mergeOverwrite .doc (deepCopy (.by.merge | default dict)) -}}
{{- get (include "ternmq.patch" (dict "doc" $doc "operations" (.by.patch | default list)) | fromJson) "doc" | toYaml -}}
{{- end -}}

{{- /* Input: body (YAML text), by. Output: YAML. */ -}}
{{- define "ternmq.object" -}}
{{- $doc := .body | fromYaml -}}
{{- with $doc.Error -}}{{- fail . -}}{{- end -}}
{{- include "ternmq.shape" (dict "doc" $doc "by" .by) -}}
{{- end -}}

{{- /* Input: doc, operations. Output: JSON {doc}. */ -}}
{{- define "ternmq.patch" -}}
{{- $doc := .doc -}}
{{- range .operations -}}
  {{- $operation := .op -}}
  {{- $steps := include "ternmq.patch.steps" .path | fromJsonArray -}}
  {{- $value := .value -}}
  {{- if has $operation (list "copy" "move") -}}
    {{- $from := include "ternmq.patch.steps" .from | fromJsonArray -}}
    {{- $value = get (include "ternmq.patch.read" (dict "node" $doc "steps" $from "path" .from) | fromJson) "value" -}}
    {{- if eq $operation "move" -}}
      {{- $doc = get (include "ternmq.patch.write" (dict "node" $doc "steps" $from "op" "remove" "path" .from) | fromJson) "value" -}}
    {{- end -}}
    {{- $operation = "add" -}}
  {{- end -}}
  {{- if eq $operation "test" -}}
    {{- $found := get (include "ternmq.patch.read" (dict "node" $doc "steps" $steps "path" .path) | fromJson) "value" -}}
    {{- if ne (toJson $found) (toJson $value) -}}
      {{- fail (printf "patch: test failed at %s: %s is not %s" .path (toJson $found) (toJson $value)) -}}
    {{- end -}}
  {{- else if has $operation (list "add" "remove" "replace") -}}
    {{- $doc = get (include "ternmq.patch.write" (dict "node" $doc "steps" $steps "op" $operation "value" $value "path" .path) | fromJson) "value" -}}
  {{- else -}}
    {{- fail (printf "patch: %q is no operation of RFC 6902" $operation) -}}
  {{- end -}}
{{- end -}}
{{- dict "doc" $doc | toJson -}}
{{- end -}}

{{- /* A JSON pointer as a JSON array of its steps. */ -}}
{{- define "ternmq.patch.steps" -}}
{{- $steps := list -}}
{{- if . -}}
  {{- if not (hasPrefix "/" .) -}}{{- fail (printf "patch: the path %q does not begin with /" .) -}}{{- end -}}
  {{- range splitList "/" (trimPrefix "/" .) -}}
    {{- $steps = append $steps (. | replace "~1" "/" | replace "~0" "~") -}}
  {{- end -}}
{{- end -}}
{{- $steps | toJson -}}
{{- end -}}

{{- /* Input: node, steps, path (for the message). Output: JSON {value}. */ -}}
{{- define "ternmq.patch.read" -}}
{{- $node := .node -}}
{{- $path := .path -}}
{{- range .steps -}}
  {{- if and (kindIs "map" $node) (hasKey $node .) -}}
    {{- $node = get $node . -}}
  {{- else if and (kindIs "slice" $node) (regexMatch "^(0|[1-9][0-9]*)$" .) (lt (atoi .) (len $node)) -}}
    {{- $node = index $node (atoi .) -}}
  {{- else -}}
    {{- fail (printf "patch: nothing at %s" $path) -}}
  {{- end -}}
{{- end -}}
{{- dict "value" $node | toJson -}}
{{- end -}}

{{- /* Input: node, steps, op (add, remove, replace), value, path. Output: JSON {value}: the node afterwards. */ -}}
{{- define "ternmq.patch.write" -}}
{{- $in := . -}}
{{- if not .steps -}}
  {{- dict "value" .value | toJson -}}
{{- else if kindIs "map" .node -}}
  {{- $key := first .steps -}}
  {{- $rest := rest .steps -}}
  {{- if and (not (hasKey .node $key)) (or $rest (ne .op "add")) -}}
    {{- fail (printf "patch: nothing at %s" .path) -}}
  {{- end -}}
  {{- if $rest -}}
    {{- $child := get (include "ternmq.patch.write" (merge (dict "node" (get .node $key) "steps" $rest) (omit $in "node" "steps")) | fromJson) "value" -}}
    {{- $_ := set .node $key $child -}}
  {{- else if eq .op "remove" -}}
    {{- $_ := unset .node $key -}}
  {{- else -}}
    {{- $_ := set .node $key .value -}}
  {{- end -}}
  {{- dict "value" .node | toJson -}}
{{- else if kindIs "slice" .node -}}
  {{- include "ternmq.patch.write.list" . -}}
{{- else -}}
  {{- fail (printf "patch: nothing at %s" .path) -}}
{{- end -}}
{{- end -}}

{{- define "ternmq.patch.write.list" -}}
{{- $in := . -}}
{{- $rest := rest .steps -}}
{{- $adds := and (eq .op "add") (not $rest) -}}
{{- $at := -1 -}}
{{- if and $adds (eq (first .steps) "-") -}}
  {{- $at = len .node -}}
{{- else if regexMatch "^(0|[1-9][0-9]*)$" (first .steps) -}}
  {{- $at = atoi (first .steps) -}}
{{- end -}}
{{- if or (lt $at 0) (gt $at (len .node)) (and (not $adds) (eq $at (len .node))) -}}
  {{- fail (printf "patch: nothing at %s" .path) -}}
{{- end -}}
{{- $result := list -}}
{{- range $index, $item := .node -}}
  {{- if and (eq $index $at) $rest -}}
    {{- $result = append $result (get (include "ternmq.patch.write" (merge (dict "node" $item "steps" $rest) (omit $in "node" "steps")) | fromJson) "value") -}}
  {{- else if and (eq $index $at) $adds -}}
    {{- $result = concat $result (list $in.value $item) -}}
  {{- else if and (eq $index $at) (eq $in.op "replace") -}}
    {{- $result = append $result $in.value -}}
  {{- else if ne $index $at -}}
    {{- $result = append $result $item -}}
  {{- end -}}
{{- end -}}
{{- if and $adds (eq $at (len .node)) -}}
  {{- $result = append $result .value -}}
{{- end -}}
{{- dict "value" $result | toJson -}}
{{- end -}}
