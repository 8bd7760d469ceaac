"""What a check of a data set says at a terminal, be it of pairs or of cases."""

from dataclasses import dataclass

SHOWN = 20  # problems spelled out on a terminal; `problems` holds all


@dataclass(frozen=True)
class Findings:
    """What a check found: `facts` to read, `notes` to know, `problems` to solve; each one sentence."""

    facts: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report for a terminal."""
        problems = [f"problem: {text}" for text in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            problems.append(f"problem: ... and {len(self.problems) - SHOWN} more")
        count = len(self.problems)
        verdict = "no problems found" if not count else f"{count} problem{'s' if count > 1 else ''} found"
        return [*self.facts, *(f"note: {text}" for text in self.notes), *problems, verdict]
