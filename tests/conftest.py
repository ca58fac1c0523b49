"""What holds for every test."""

from hypothesis import HealthCheck, settings

# A busy machine makes no law untrue; neither does a first run, in which Hypothesis builds its tables of Unicode.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
