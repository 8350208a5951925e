"""The API over HTTP: routes, schemas, rendering, errors, limits. It knows no ledger."""
