"""The engines that ours is measured against, each at its best settings."""
