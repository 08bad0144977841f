"""The lake of daily engagement partitions: ingest, manifests, readers, retention and its ledger."""
