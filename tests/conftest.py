"""What holds for every test."""

from hypothesis import settings

settings.register_profile("untimed")  # a busy machine makes no law untrue
settings.load_profile("untimed")
