"""Operators as users write them, right and wrong."""

import torch


def temperature(fields, rows):
    """What the project's own operator reads of temperature."""
    return fields.at("temperature", rows)


def warmth_of_the_wind(fields, rows):
    """Something that no operator of the project reads: temperature times wind speed at 500 hPa."""
    u, v = (fields.at(f"{c}_component_of_wind", rows) for c in "uv")
    return fields.at("temperature", rows) / 250 * torch.sqrt(u.square() + v.square() + 1)


def global_mean(fields, rows):
    """A mean over the globe and the period, the same for every row."""
    mean = fields["2m_temperature"].mean(dim=(1, 2, 3))
    return mean[:, None].expand(-1, len(rows))


def rounded(fields, rows):
    """Reads to a whole kelvin: differentiable nowhere that matters."""
    return temperature(fields, rows).round()


def through_numpy(fields, rows):
    """Written with numpy."""
    return temperature(fields, rows).numpy() + 0.0


def transposed(fields, rows):
    """Rows first."""
    return temperature(fields, rows).T


def of_one_row(fields, rows):
    """A value too few."""
    return temperature(fields, rows)[:, 1:]


def not_a_number(fields, rows):
    """The square root of what is negative."""
    return torch.sqrt(-temperature(fields, rows))


def text(fields, rows):
    """No array at all."""
    return "280 K"


def failing(fields, rows):
    """Asks for what is not there."""
    return fields["cloud_cover"][:, 0, 0, : len(rows)]


def wrong_with_itself(fields, rows):
    """Divides by zero."""
    return temperature(fields, rows) * (1 / 0)


NOT_A_FUNCTION = 3
