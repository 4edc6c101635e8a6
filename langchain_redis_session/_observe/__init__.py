"""OpenTelemetry and LangChain's custom events: who watches from outside."""
