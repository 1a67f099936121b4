"""Messages of WMO BUFR, encoded for tests."""

# blocks of WMO: station, kind, date, time, place, and what is measured there
SYNOP = [307080]
TEMP = [309052]
PLAIN = [1001, 1002, 301011, 301012, 301021, 7030, 10004, 10051, 12101, 12103, 11001, 11002]
#: Of the template above, its sequences expanded.
ELEMENTS = 16
WITH_CONFIDENCE = [
    *PLAIN, 222000, 101000 + ELEMENTS, 31031, 1031, 1032, 101000 + ELEMENTS, 33007,
]  # fmt: skip


def encode(template, values, *, category=0, subsets=1, compressed=False, replications=None):
    """A message.

    Args:
        template: Descriptors.
        values: By key, such as `#1#latitude`; lists of all subsets if compressed.
        category: Of data.
        subsets: How many reports.
        compressed: Whether subsets are.
        replications: Arrays of replication factors by key.
    """
    import eccodes

    handle = eccodes.codes_bufr_new_from_samples("BUFR4")
    try:
        header = {
            "masterTablesVersionNumber": 31,
            "localTablesVersionNumber": 0,
            "dataCategory": category,
            "numberOfSubsets": subsets,
            "observedData": 1,
            "compressedData": int(compressed),
        }
        for key, value in header.items():
            eccodes.codes_set(handle, key, value)
        for key, value in (replications or {}).items():
            eccodes.codes_set_array(handle, key, value)
        eccodes.codes_set_array(handle, "unexpandedDescriptors", template)
        for key, value in values.items():
            if isinstance(value, list):
                eccodes.codes_set_array(handle, key, value)
            else:
                eccodes.codes_set(handle, key, value)
        eccodes.codes_set(handle, "pack", 1)
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


def place(rank=1, **changes):
    """Station, time and place of a report."""
    values = {
        "blockNumber": 10,
        "stationNumber": 384,
        "year": 2024,
        "month": 1,
        "day": 2,
        "hour": 12,
        "minute": 30,
        "latitude": 52.5,
        "longitude": 13.4,
    } | changes
    return {f"#{rank}#{key}": value for key, value in values.items()}
