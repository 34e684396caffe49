"""What would be sent upstream for a request, without sending it: for ``modelmux explain`` and for the dashboard."""
