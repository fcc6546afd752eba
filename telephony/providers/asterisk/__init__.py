"""Asterisk and what is built on it: AMI."""
