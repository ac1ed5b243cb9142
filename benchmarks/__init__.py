"""Programs that measure Tessera against yardsticks of the same run, on the same servers: `tessera bench`."""
