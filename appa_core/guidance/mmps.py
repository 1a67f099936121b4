"""Moment-matching posterior sampling, with safeguards for trained networks.

p(x | x_t) is taken for a Gaussian with the denoiser's mean x_hat and a covariance V, so that
p(y | x_t) = N(y; A x_hat, S), S = Sigma_y + A V A^T, and

    E[x | x_t, y] = x_hat + sigma^2 J^T A^T S^-1 (y - A x_hat),   J = d x_hat / d x_t.

With V = sigma^2 J^T (Tweedie) this is exact for Gaussian data and linear A; with V a multiple of
the identity in S it is PiGDM. A solver's solution w is a sum of vectors to which it has applied
A^T and V already, so that the correction needs no product of its own.

Safeguards, on by default. Whitened weights u = L^T w obey |u|^2 <= u^T (L^-1 S L^-T) u, which is
chi^2 with as many degrees of freedom as observations if they agree with the prior: larger ones are
scaled back (the trust region). A row whose S is not positive along the solver's directions, or
whose solve does not reduce its residual, falls back to a scalar V. And no element moves further
than `clamp` standard deviations of x given x_t.

References:
    Rozet et al. 2024, Learning Diffusion Priors from Observations by Expectation Maximization.
    Song et al. 2023, Pseudoinverse-Guided Diffusion Models for Inverse Problems.
    Laurent & Massart 2000, Adaptive estimation of a quadratic functional, lemma 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from appa_core.errors import StalledError
from appa_core.guidance.guided import LinearisableDenoiser, by_row, clamped, remaining_variance
from appa_core.guidance.observation import LinearisedOperator, Observation
from appa_core.guidance.solvers import SOLVERS, Solution

#: -ln of the probability with which a consistent observation may meet the trust region.
_RARITY = 32.0
#: Conjugate gradients reduce the error's energy, not the residual, which may grow on the way.
_CG_RESIDUAL = 100.0


@dataclass
class SafeguardCounts:
    """How often safeguards stepped in, in rows of guided evaluations.

    Args:
        evaluations: Rows guided.
        fallbacks: Rows whose Tweedie system was not positive or did not converge, solved with a
            scalar covariance instead.
        capped: Rows whose weights were scaled back to the trust region.
        clamped: Rows with elements clamped.
    """

    evaluations: int = 0
    fallbacks: int = 0
    capped: int = 0
    clamped: int = 0


@dataclass(frozen=True)
class Mmps:
    """Moment-matching guidance.

    Args:
        solver: Krylov method for S.
        iterations: Most products with S.
        tolerance: Relative residual at which a row is solved.
        covariance: V of p(x | x_t): `tweedie` = sigma^2 J^T, `scalar` = sigma^2 / (1 + sigma^2).
        tweedie_below: Above this noise level the scalar covariance serves: there V tends to the
            prior's covariance and sigma^2 J^T amplifies the network's error by sigma.
        guided_below: Above this noise level nothing is corrected, which saves the operator where
            x_t hardly tells one trajectory from another.
        reuse: Take the correction from the solver's products instead of computing it anew.
        whiten: Solve for whitened observations, which conditions S well for errors of any size.
        safeguard: Trust region at the prior-predictive scale and residual checks.
        clamp: Bound of each element's correction, in standard deviations of x given x_t.
    """

    solver: Literal["cg", "minres", "gmres"] = "gmres"
    iterations: int = 2
    tolerance: float = 1e-4
    covariance: Literal["tweedie", "scalar"] = "tweedie"
    tweedie_below: float = math.inf
    guided_below: float = math.inf
    reuse: bool = True
    whiten: bool = True
    safeguard: bool = True
    clamp: float = 6.0
    counts: SafeguardCounts = field(default_factory=SafeguardCounts, compare=False)

    def __call__(
        self, x_t: Tensor, sigma: Tensor, denoiser: LinearisableDenoiser, observation: Observation
    ) -> Tensor:
        """Guided mean; see `Guidance`."""
        if observation.empty or sigma.max().item() > self.guided_below:
            return denoiser(x_t, sigma)
        prior = denoiser.linearise(x_t, sigma)
        operator = observation.linearise(prior.mean)
        residual = observation.residual(operator.value)
        exact = self.covariance == "tweedie" and sigma.max().item() <= self.tweedie_below
        if exact:
            spread = lambda v: by_row(sigma**2, v) * prior.vjp(v)
        else:
            spread = _scaled(remaining_variance(sigma))
        system = _System(self.whiten, observation, operator, residual, spread)
        solution = self._solve(system)
        # V A^T w came along with the solution; a scalar V is not what spreads it
        correction = system.image_of(solution)
        if exact and not self.reuse:
            correction = by_row(sigma**2, correction) * prior.vjp(system.pull_back(solution.x))
        if not exact:
            gain = sigma**2 / remaining_variance(sigma)
            correction = by_row(gain, correction) * prior.vjp(correction)
        if self.safeguard:
            correction = self._checked(system, solution, correction, sigma)
        else:
            self._require_progress(system, solution)
        # nothing is known of what such a row observes; its plain mean would look like a result
        seen = by_row(torch.isfinite(residual).all(dim=1), correction) > 0
        return prior.mean + torch.where(seen, correction, math.nan)

    def _solve(self, system: _System) -> Solution:
        return SOLVERS[self.solver](
            system.apply,
            system.b,
            iterations=self.iterations,
            tolerance=self.tolerance,
            image=system.last_image,
        )

    def _require_progress(
        self, system: _System, solution: Solution, rows: Tensor | None = None
    ) -> None:
        """Raise where a solver has not come nearer to a solution of a system that is finite."""
        asked, moved = system.b.square().sum(-1), solution.x.square().sum(-1)
        # the residual of conjugate gradients may grow on the way
        stalled = ~(moved > 0) if self.solver == "cg" else ~(solution.residual < 1)
        stalled &= torch.isfinite(asked) & (asked > 0)
        if rows is not None:
            stalled &= rows
        if stalled.any():
            raise StalledError(stalled.nonzero()[:, 0].tolist(), self.solver)

    def _checked(
        self, system: _System, solution: Solution, correction: Tensor, sigma: Tensor
    ) -> Tensor:
        """The correction within the trust region; see the module's text."""
        u = solution.x
        good = torch.isfinite(correction).flatten(1).all(dim=1) & torch.isfinite(u).all(dim=1)
        largest = _CG_RESIDUAL if self.solver == "cg" else 1.0
        good &= (solution.residual < largest) & solution.curved & ((u * system.b).sum(-1) >= 0)
        self.counts.evaluations += len(u)
        if not good.all():
            self.counts.fallbacks += int((~good).sum())
            variance = remaining_variance(sigma)
            simple = system.with_spread(_scaled(variance))
            plain = self._solve(simple)
            self._require_progress(simple, plain, ~good)
            keep = by_row(good, correction) > 0
            correction = torch.where(keep, correction, simple.image_of(plain))
            u = torch.where(good[:, None], u, plain.x)
        if self.whiten:
            correction = correction * by_row(self._trust(system, u), correction)
        bounded = clamped(correction, sigma, self.clamp)
        self.counts.clamped += int((bounded != correction).flatten(1).any(dim=1).sum())
        return bounded

    def _trust(self, system: _System, u: Tensor) -> Tensor:
        """Factors (B,) that keep |u|^2 within what chi^2 of the observations' number allows."""
        count = system.observation.count.to(u).expand(len(u))
        bound = count + 2 * (count * _RARITY).sqrt() + 2 * _RARITY
        factor = (bound / u.square().sum(-1).clamp(min=1e-30)).sqrt().clamp(max=1)
        self.counts.capped += int((factor < 1).sum())
        return factor


def _scaled(variance: Tensor) -> Callable[[Tensor], Tensor]:
    """V = variance I, row by row."""
    return lambda v: by_row(variance, v) * v


class _System:
    """S w = r, in whitened observations (w = L^-T u) or as it is (w = u)."""

    def __init__(
        self,
        whiten: bool,
        observation: Observation,
        operator: LinearisedOperator,
        residual: Tensor,
        spread: Callable[[Tensor], Tensor],
    ) -> None:
        self.observation, self._operator, self._whiten = observation, operator, whiten
        self._residual, self._spread = residual, spread
        self.b = observation.errors.whiten(residual) if whiten else residual
        self._image: Tensor | None = None

    def with_spread(self, spread: Callable[[Tensor], Tensor]) -> _System:
        """The same system with another V."""
        return _System(self._whiten, self.observation, self._operator, self._residual, spread)

    def pull_back(self, u: Tensor) -> Tensor:
        """A^T w, (B, L, ...)."""
        w = self.observation.errors.whiten_transposed(u) if self._whiten else u
        return self._operator.vjp(w)

    def last_image(self) -> Tensor:
        """V A^T w of the last product, (B, L, ...)."""
        assert self._image is not None
        return self._image

    def image_of(self, solution: Solution) -> Tensor:
        """V A^T w of a solution; zero where no product was needed."""
        if solution.image is not None:
            return solution.image
        return self._operator.vjp(torch.zeros_like(solution.x))

    def apply(self, u: Tensor) -> Tensor:
        """(Sigma_y + A V A^T) w, whitened where the system is."""
        errors = self.observation.errors
        self._image = self._spread(self.pull_back(u))
        moved = self._operator.jvp(self._image)
        return u + errors.whiten(moved) if self._whiten else errors.apply(u) + moved
