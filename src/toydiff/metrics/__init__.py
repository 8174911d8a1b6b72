"""Quality in absolute units, every score beside its real-against-real floor."""
