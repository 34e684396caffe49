"""Metrics for OpenTelemetry: the tallies of Prometheus, sent by OTLP. Nothing is counted twice."""
