"""What is written from the results' JSON files: all results, all commands, and the headline."""

from experiments.paper.pages import all_commands, all_results, headline

__all__ = ["all_commands", "all_results", "headline"]
