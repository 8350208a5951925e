"""Runs of the pipeline at certain times: cron expressions, a crontab line, systemd units."""
