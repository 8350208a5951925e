{{- /* The text protos that a server reads, as `tallygraph serve` writes them. */}}
{{- define "tallygraph.modelServerFiles" -}}
models.config: |
  model_config_list {
    config {
      name: {{ .Values.servedModel.name | quote }}
      base_path: "/models/{{ .Values.servedModel.name }}"
      model_platform: "tensorflow"
      {{- if .Values.servedModel.versions }}
      model_version_policy {
        specific {
          {{- range .Values.servedModel.versions }}
          versions: {{ int64 .number }}
          {{- end }}
        }
      }
      {{- range $version := .Values.servedModel.versions }}
      {{- range $version.labels }}
      version_labels { key: {{ . | quote }} value: {{ int64 $version.number }} }
      {{- end }}
      {{- end }}
      {{- end }}
    }
  }
monitoring.config: |
  prometheus_config {
    enable: true
    path: "/monitoring/prometheus/metrics"
  }
{{- with .Values.modelServer.batching }}
{{- if .enabled }}
batching_parameters.txt: |
  max_batch_size { value: {{ int .maxBatchSize }} }
  batch_timeout_micros { value: {{ int .batchTimeoutMicros }} }
  num_batch_threads { value: {{ int .numBatchThreads }} }
  max_enqueued_batches { value: {{ int .maxEnqueuedBatches }} }
  {{- range .allowedBatchSizes }}
  allowed_batch_sizes: {{ int . }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
