"""Pictures and films: the only place that knows matplotlib, Pillow and PyAV."""
