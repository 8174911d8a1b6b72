"""Quality in absolute units, every score beside its real-against-real floor."""

FEWEST = 20
"""Real data that it takes to measure by: known without importing torch."""
