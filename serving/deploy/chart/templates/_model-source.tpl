{{- /* The volume with the model's versions, and what mounts it at /models. */}}
{{- define "tallygraph.modelVolume" -}}
{{- $source := .Values.servedModel.source -}}
- name: models
  {{- if eq $source.type "pvc" }}
  persistentVolumeClaim:
    claimName: {{ $source.pvc.claimName }}
    readOnly: true
  {{- else if eq $source.type "image" }}
  image:
    reference: {{ $source.image.reference }}
    pullPolicy: {{ $source.image.pullPolicy }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ $source.fetch.sizeLimit }}
  {{- end }}
{{- end }}

{{- define "tallygraph.modelMount" -}}
- name: models
  mountPath: /models
  readOnly: true
  {{- if and (eq .Values.servedModel.source.type "pvc") .Values.servedModel.source.pvc.subPath }}
  subPath: {{ .Values.servedModel.source.pvc.subPath }}
  {{- end }}
{{- end }}

{{- define "tallygraph.modelFetch" -}}
{{- $fetch := .Values.servedModel.source.fetch -}}
{{- if eq .Values.servedModel.source.type "fetch" -}}
initContainers:
  - name: fetch-model
    image: {{ $fetch.image }}
    {{- with $fetch.command }}
    command: {{ toJson . }}
    {{- end }}
    {{- with $fetch.args }}
    args: {{ toJson . }}
    {{- end }}
    {{- with $fetch.envFromSecrets }}
    envFrom:
      {{- range . }}
      - secretRef:
          name: {{ . }}
      {{- end }}
    {{- end }}
    resources: {{ toJson $fetch.resources }}
    securityContext:
      {{- include "tallygraph.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - name: models
        mountPath: /models
      - name: tmp
        mountPath: /tmp
{{- end -}}
{{- end }}
