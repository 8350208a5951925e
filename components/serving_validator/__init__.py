"""Tests the pushed layout on a real model server before anything is pushed."""
