"""Traces for OpenTelemetry: made when a request is over, from the times that its record has."""
