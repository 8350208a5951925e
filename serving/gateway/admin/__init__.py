"""The private admin API: `serving.gateway.administration` over HTTP."""
