"""Jobs whose processes are killed again and again: `python -m benchmarks.chaos --kills 50`.

Each job runs once undisturbed. Then it runs, in a new store, while processes of its chosen kinds
are killed with `kill -9` at random moments, and what died is started again; once it has finished,
its store must hold the same data, and no kill may have cost more than one unit of work. Jobs take
turns until all kills are used. What is done is kept in `--folder`: the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from appa_core.errors import AppaError, ResourceError
from appa_core.io.store import write_atomically
from benchmarks.chaos_jobs import FLOW, JOBS, RANK, STORE, Job, Work, calm_folder, store_digest
from benchmarks.chaos_jobs import events as events_of
from benchmarks.chaos_parts import Parts, deployed_run, kill, ranks
from benchmarks.chaos_report import Round, faults, report

_LOOK_SECONDS = 0.1
_PATIENCE_SECONDS = 1800.0
_TRIES = 20


class Runner:
    """A job in a folder, started again until it has finished.

    Args:
        job: What to run.
        parts: What it runs on.
        folder: For its store and results.
    """

    def __init__(self, job: Job, parts: Parts, folder: Path) -> None:
        self._job, self._parts, self._folder = job, parts, folder
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def is_done(self) -> bool:
        """Look after it: whether it has finished; what has failed is started again.

        Raises:
            ResourceError: It fails again and again.
        """
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return False
            if status == 0:
                return True
        if self.starts > _TRIES:
            raise ResourceError(f"{self._job.label} fails again and again; see {self._log}")
        self._parts.wait()
        self._start()
        return False

    def victim(self, kind: str) -> int | None:
        """A process of a kind that can be killed now; None if there is none."""
        running = self._process is not None and self._process.poll() is None
        pid = self._process.pid if running and self._process else None
        if kind == FLOW:
            return deployed_run() if self._job.deployed else pid
        if kind == RANK:
            found = ranks(pid) if pid else []
            return found[-1] if found else None
        return self._parts.pid(kind)

    def end(self) -> None:
        """End it with what it started, if it has not ended."""
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def _log(self) -> Path:
        return self._folder / "log.txt"

    def _start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        module = [f"flows.{self._job.name}"]
        if self._job.deployed:
            module = ["benchmarks.chaos_deployed", self._job.name]
        words = self._job.argv(self._parts.dask)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", *module, *words],
                cwd=self._folder, env=self._parts.environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.starts += 1


@dataclass(frozen=True)
class Kill:
    """A kill to come.

    Args:
        kind: Of what is killed.
        events: That happen before.
        delay_seconds: After the last of these.
    """

    kind: str
    events: int
    delay_seconds: float


def run_job(job: Job, parts: Parts, folder: Path, plan: Sequence[Kill]) -> Round:
    """Run a job to its end.

    Args:
        job: What to run.
        parts: What it runs on.
        folder: For its store and results; emptied first.
        plan: What to kill, in order.

    Returns:
        What happened; kills of the plan that it was too fast for are not among them.
    """
    shutil.rmtree(folder, ignore_errors=True)
    runner, done = Runner(job, parts, folder), Round(JOBS.index(job))
    start = parts.events.stat().st_size if parts.events.exists() else 0
    try:
        _disturb(runner, parts, list(plan), done, start)
    finally:
        runner.end()
    work = Work.read(parts.events, start)
    done.restarts, done.repeated, done.committed = runner.starts - 1, work.units, work.committed
    return done


def _disturb(runner: Runner, parts: Parts, waiting: list[Kill], done: Round, start: int) -> None:
    """Kill what the plan says, and look after a job, until it has finished."""
    began, seen = time.monotonic(), 0
    while not runner.is_done():
        if time.monotonic() - began > _PATIENCE_SECONDS:
            raise ResourceError(f"{JOBS[done.job].label} does not end")
        count = sum(1 for _ in events_of(parts.events, start))
        if waiting and count >= seen + waiting[0].events:
            time.sleep(waiting[0].delay_seconds)
            pid = runner.victim(waiting[0].kind)
            if pid is not None and kill(pid):
                done.kills.append(waiting.pop(0).kind)
                seen = sum(1 for _ in events_of(parts.events, start))
        time.sleep(_LOOK_SECONDS)
    done.seconds = time.monotonic() - began


class Campaign:
    """All rounds, kept in a file so that they can be continued.

    Args:
        folder: For stores, logs and the file.
        seed: Of what is killed and when.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._seed = folder, seed
        self._file = folder / f"rounds-{seed}.json"
        kept = json.loads(self._file.read_text("utf-8")) if self._file.is_file() else {}
        self.digests: dict[str, str] = kept.get("digests", {})
        self.rounds = [Round(**row) for row in kept.get("rounds", [])]

    @property
    def kills(self) -> int:
        """How many there have been."""
        return sum(len(r.kills) for r in self.rounds)

    def run(self, kills: int) -> None:
        """Go on until there have been so many kills."""
        with Parts(self._folder / "parts") as parts:
            for number, job in enumerate(JOBS):
                if str(number) not in self.digests:
                    run_job(job, parts, self._place, ())
                    self.digests[str(number)] = store_digest(self._place / STORE)
                    self._put_aside(calm_folder(self._folder, number))
                    self._keep()
            while self.kills < kills:
                self._add(parts, kills - self.kills)

    @property
    def _place(self) -> Path:
        """Where every run is: reports name the URL of their states, which enters the digest."""
        return self._folder / "run"

    def _put_aside(self, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        self._place.rename(target)

    def _add(self, parts: Parts, most: int) -> None:
        """One more round."""
        number = len(self.rounds) % len(JOBS)
        job = JOBS[number]
        rng = random.Random(f"{self._seed} {len(self.rounds)}")  # noqa: S311
        kinds = list(job.victims)
        rng.shuffle(kinds)
        plan = [Kill(kind, rng.randint(1, 6), rng.uniform(0, 2)) for kind in kinds[:most]]
        done = run_job(job, parts, self._place, plan)
        done.is_same = store_digest(self._place / STORE) == self.digests[str(number)]
        if not done.is_same:
            self._put_aside(self._folder / f"other-{len(self.rounds)}")
        self.rounds.append(done)
        self._keep()
        killed, data = ", ".join(done.kills) or "nothing", "same" if done.is_same else "OTHER"
        say(f"{job.label}: killed {killed}; {data} data, {done.repeated} units again")

    def _keep(self) -> None:
        content = {"digests": self.digests, "rounds": [asdict(r) for r in self.rounds]}
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._file, json.dumps(content, indent=1))


def say(text: str) -> None:
    """Tell how it goes."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    add = parser.add_argument
    add("--kills", type=int, default=50, help="in all (default: %(default)s)")
    add("--seed", type=int, default=0, help="of what is killed when (default: %(default)s)")
    add("--folder", type=Path, default=Path("chaos"), help="what is kept (default: %(default)s)")
    add("--output", type=Path, help="write the page here (default: print it)")
    arguments = parser.parse_args(argv)
    # so that parts are ended too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    campaign = Campaign(arguments.folder.absolute(), arguments.seed)
    try:
        campaign.run(arguments.kills)
    except AppaError as error:
        say(f"error: {error}")
        return 2
    command = f"python -m benchmarks.chaos --kills {arguments.kills} --seed {arguments.seed}"
    text = report(campaign.rounds, command)
    if arguments.output:
        arguments.output.write_text(text, "utf-8")
    else:
        say(text)
    return 1 if faults(campaign.rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
