"""Physical constants of the Earth and its air, SI units.

Gas constants, their ratio and the radius are those of ECMWF's Integrated Forecasting System, so
that balances of ERA5 are looked at with the numbers that they were made with.
"""

#: Of the standard atmosphere, m s-2.
STANDARD_GRAVITY = 9.80665
#: J kg-1 K-1.
GAS_CONSTANT_DRY_AIR = 287.0597
#: Ratio of the gas constants of dry air and of water vapour.
EPSILON = 0.621981
#: Of a sphere, m.
EARTH_RADIUS_M = 6.371e6
#: Against the stars, s-1.
EARTH_ROTATION_RATE = 7.292115e-5
