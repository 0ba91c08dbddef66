{{- /* The server's pod: the broker, the reloader beside it, the exporter where it is wanted. */ -}}

{{- define "ternmq.protocols" -}}
{{- $open := list -}}
{{- range list "nats" "leafnodes" "websocket" "mqtt" "cluster" "gateway" "monitor" "profiling" -}}
  {{- if or (eq . "nats") (get $.Values.config .).enabled -}}
    {{- $open = append $open . -}}
  {{- end -}}
{{- end -}}
{{- toJson $open -}}
{{- end -}}

{{- /* What a service port says is spoken on it. Input: a protocol's name and its block of the configuration's values. */ -}}
{{- define "ternmq.appProtocol" -}}
{{- $isHttp := has .protocol (list "websocket" "monitor") -}}
{{- $isTls := and (hasKey .block "tls") .block.tls.enabled -}}
{{- ternary (ternary "https" "http" (not (empty $isTls))) (ternary "tls" "tcp" (not (empty $isTls))) $isHttp -}}
{{- end -}}

{{- define "ternmq.probe" -}}
httpGet:
  path: {{ .path }}
  port: monitor
  {{- if .https }}
  scheme: HTTPS
  {{- end }}
initialDelaySeconds: 10
timeoutSeconds: 5
periodSeconds: {{ .period }}
successThreshold: 1
failureThreshold: {{ .failures }}
{{- end -}}

{{- /* Secrets with certificates, as [{name, secretName, dir}], JSON. */ -}}
{{- define "ternmq.certificates" -}}
{{- $found := list -}}
{{- range $protocol := include "ternmq.protocols" . | fromJsonArray -}}
  {{- $tls := (get $.Values.config $protocol).tls -}}
  {{- if and (not (has $protocol (list "monitor" "profiling"))) $tls $tls.enabled $tls.secretName -}}
    {{- $found = append $found (dict "name" (printf "%s-tls" $protocol) "secretName" $tls.secretName "dir" $tls.dir) -}}
  {{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "ternmq.caVolume" -}}
{{- if include "ternmq.caFile" . }}
{{- with .Values.tlsCA }}
- name: tls-ca
{{- if .configMapName }}
  configMap:
    name: {{ .configMapName | quote }}
{{- else }}
  secret:
    secretName: {{ .secretName | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "ternmq.caMount" -}}
{{- if include "ternmq.caFile" . }}
- name: tls-ca
  mountPath: {{ .Values.tlsCA.dir | quote }}
{{- end }}
{{- end -}}

{{- define "ternmq.container" -}}
{{- $config := .Values.config -}}
name: nats
{{ include "ternmq.image" (dict "root" . "image" .Values.container.image) }}
args: [--config, /etc/nats-config/nats.conf]
ports:
{{- range $protocol := include "ternmq.protocols" . | fromJsonArray }}
- {{ merge (dict "name" $protocol "containerPort" (get $config $protocol).port) (get $.Values.container.ports $protocol) | toJson }}
{{- end }}
env:
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: SERVER_NAME
  value: {{ printf "%s$(POD_NAME)" $config.serverNamePrefix | quote }}
{{- include "ternmq.environment" .Values.container.env }}
lifecycle:
  preStop: # clients are asked to go, leaderships are handed over; SIGTERM follows and changes nothing
    exec:
      command: [nats-server, -sl=ldm=/var/run/nats/nats.pid]
{{- if $config.monitor.enabled }}
{{- $https := $config.monitor.tls.enabled }}
startupProbe:
  {{- include "ternmq.probe" (dict "path" "/healthz" "period" 10 "failures" 90 "https" $https) | nindent 2 }}
readinessProbe:
  {{- include "ternmq.probe" (dict "path" "/healthz?js-server-only=true" "period" 10 "failures" 3 "https" $https) | nindent 2 }}
livenessProbe:
  {{- include "ternmq.probe" (dict "path" "/healthz?js-enabled-only=true" "period" 30 "failures" 3 "https" $https) | nindent 2 }}
{{- end }}
volumeMounts:
- name: config
  mountPath: /etc/nats-config
- name: pid
  mountPath: /var/run/nats
{{- with $config.jetstream }}
{{- if and .enabled .fileStore.enabled .fileStore.pvc.enabled }}
- name: {{ .fileStore.pvc.name }}
  mountPath: {{ .fileStore.dir | quote }}
{{- end }}
{{- end }}
{{- with $config.resolver }}
{{- if and .enabled .pvc.enabled }}
- name: {{ .pvc.name }}
  mountPath: {{ .dir | quote }}
{{- end }}
{{- end }}
{{- include "ternmq.caMount" . }}
{{- range include "ternmq.certificates" . | fromJsonArray }}
- name: {{ .name }}
  mountPath: {{ .dir | quote }}
{{- end }}
- name: tmp # last: values files patch mounts and volumes by number
  mountPath: /tmp
{{- with .Values.container.securityContext }}
securityContext: {{ toJson . }}
{{- end }}
resources: {{ .Values.container.resources | default dict | toJson }}
{{- end -}}

{{- /* Input: root, mounts (of the broker's container). */ -}}
{{- define "ternmq.reloader" -}}
{{- $reloader := .root.Values.reloader -}}
name: reloader
{{ include "ternmq.image" (dict "root" .root "image" $reloader.image) }}
args:
- -pid
- /var/run/nats/nats.pid
- -config
- /etc/nats-config/nats.conf
{{- include "ternmq.conf.files" (dict "node" .root.serverConf "folder" "/etc/nats-config") }}
{{- with $reloader.env }}
env:
{{- include "ternmq.environment" . }}
{{- end }}
volumeMounts:
- name: pid
  mountPath: /var/run/nats
{{- range $mount := .mounts }}
{{- $wanted := false }}
{{- range $reloader.natsVolumeMountPrefixes }}
{{- $wanted = or $wanted (hasPrefix . $mount.mountPath) }}
{{- end }}
{{- if $wanted }}
- {{ toJson $mount }}
{{- end }}
{{- end }}
{{- with .root.Values.container.securityContext }}
securityContext: {{ toJson . }}
{{- end }}
{{- end -}}

{{- define "ternmq.exporter" -}}
{{- $exporter := .Values.promExporter -}}
{{- $config := .Values.config -}}
name: prom-exporter
{{ include "ternmq.image" (dict "root" . "image" $exporter.image) }}
args:
- -port={{ $exporter.port }}
- -connz
- -routez
- -subz
- -varz
- -prefix=nats
- -use_internal_server_id
{{- if $config.jetstream.enabled }}
- -jsz=all
{{- end }}
{{- if $config.leafnodes.enabled }}
- -leafz
{{- end }}
{{- if $config.gateway.enabled }}
- -gatewayz
{{- end }}
- {{ ternary "https" "http" $config.monitor.tls.enabled }}://{{ $exporter.monitorDomain }}:{{ $config.monitor.port }}/
ports:
- name: prom-metrics
  containerPort: {{ $exporter.port }}
{{- with $exporter.env }}
env:
{{- include "ternmq.environment" . }}
{{- end }}
{{- with .Values.container.securityContext }}
securityContext: {{ toJson . }}
{{- end }}
{{- end -}}

{{- define "ternmq.podTemplate" -}}
{{- $container := include "ternmq.object" (dict "body" (include "ternmq.container" .) "by" .Values.container) | fromYaml -}}
metadata:
  labels:
    {{- include "nats.labels" . | nindent 4 }}
  {{- if .Values.podTemplate.configChecksumAnnotation }}
  annotations:
    checksum/config: {{ include "ternmq.configMap" . | sha256sum }}
  {{- end }}
spec:
  containers:
  - {{ toJson $container }}
  {{- if .Values.reloader.enabled }}
  - {{ include "ternmq.object" (dict "body" (include "ternmq.reloader" (dict "root" . "mounts" $container.volumeMounts)) "by" .Values.reloader) | fromYaml | toJson }}
  {{- end }}
  {{- if .Values.promExporter.enabled }}
  - {{ include "ternmq.object" (dict "body" (include "ternmq.exporter" .) "by" .Values.promExporter) | fromYaml | toJson }}
  {{- end }}
  enableServiceLinks: false
  {{- include "ternmq.pullSecrets" . | nindent 2 }}
  {{- if .Values.serviceAccount.enabled }}
  serviceAccountName: {{ .Values.serviceAccount.name | quote }}
  {{- end }}
  {{- if .Values.reloader.enabled }}
  shareProcessNamespace: true # the reloader signals the server by the pid in the pid file
  {{- end }}
  {{- with .Values.podTemplate.securityContext }}
  securityContext: {{ toJson . }}
  {{- end }}
  {{- with .Values.podTemplate.topologySpreadConstraints }}
  topologySpreadConstraints:
  {{- range $key, $constraint := . }}
  - {{ merge (dict "topologyKey" $key "labelSelector" (dict "matchLabels" (include "nats.selectorLabels" $ | fromYaml))) $constraint | toJson }}
  {{- end }}
  {{- end }}
  terminationGracePeriodSeconds: 60 # lame_duck_duration and what a clean stop takes
  volumes:
  - name: config
    configMap:
      name: {{ .Values.configMap.name }}
  - name: pid
    emptyDir: {}
  {{- include "ternmq.caVolume" . | nindent 2 }}
  {{- range include "ternmq.certificates" . | fromJsonArray }}
  - name: {{ .name }}
    secret:
      secretName: {{ .secretName | quote }}
  {{- end }}
  - name: tmp
    emptyDir: {}
{{- end -}}

{{- define "ternmq.configMap" -}}
{{- $body := dict "root" . "name" .Values.configMap.name "component" "nats" -}}
{{- $doc := include "ternmq.metadata" $body | fromYaml -}}
{{- $doc = merge $doc (dict "apiVersion" "v1" "kind" "ConfigMap" "data" (dict "nats.conf" (printf "%s\n" (include "ternmq.conf.text" (dict "node" .serverConf "indent" ""))))) -}}
{{- include "ternmq.shape" (dict "doc" $doc "by" .Values.configMap) -}}
{{- end -}}

{{- /* Input: root, pvc (values of one volume claim). */ -}}
{{- define "ternmq.volumeClaim" -}}
metadata:
  name: {{ .pvc.name }}
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: {{ .pvc.size | quote }}
  {{- with .pvc.storageClassName }}
  storageClassName: {{ . | quote }}
  {{- end }}
{{- end -}}
