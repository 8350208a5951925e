"""Promoter: registers blessed models, and decides which of them is the champion."""
