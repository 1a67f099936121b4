"""Words that commands are fuzzed with: some make sense, most do not."""

NUMBERS = ("0", "-1", "1", "2", "3", "6", "1.5", "-0.0", "nan", "inf", "-inf", "1e400", "1e-400")
ODD = (
    "", " ", "-", "--", "=", ",", ":", "::", "\n", "\t", "None", "null", "true", "{}", "[]", "[",
    "*", "?", "**/*", "{CATALOG_DIR}", "{env(HOME)}", "%s", "½", "٣", "日本", "\u202e", "\ud800",
    "a" * 5000, "9" * 40, "../../x", "./.", "..", "no/such/place", "\\", "'", "$HOME", "~",
    "--help",
    "name=value", "a=b=c", "=b", "a=",
)  # fmt: skip
TIMES = (
    "2012-02-05", "2012-02-06T06", "2012-02-10", "2012-02-10T05", "2012-02-30", "0001-01-01",
    "9999-12-31T18", "1677-01-01", "2262-04-12", "2012-02-10T00:00:00+00:00",
    "2012-02-10T00:00+23:59", "0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00", "20120210",
    "2012-W06-5", "2012-02-10 06:00:00.000001", "now", "-2012-02-10",
)  # fmt: skip
URLS = (
    "memory://fuzz", "file:///no/such/place", "file://", "://", "nonesuch://x", "s3://bucket/x",
    "gs://bucket/x.zarr", "http://127.0.0.1:9/x.zarr", "http://127.0.0.1:9/x.csv", "http://",
    "http://[::1", "http://127.0.0.1:99999/x.nc", "zip://x.zarr::no-such.zip",
    "simplecache::x.nc",
    "reference://", "data:,hello", "github://a:b@c/x", "http://user:secret@127.0.0.1:9/x.grib",
    "local://x", "dir::x", "generic://x", "ftp://127.0.0.1:9/x.nc", "hf://x",
    "sftp://127.0.0.1/x",
)  # fmt: skip
SPECS = (
    "simulated:", "simulated", "simulated:stations=0.05", "simulated:stations=2",
    "simulated:stations=nan", "simulated:orbiters=1", "simulated:orbiters=1e99",
    "simulated:stations=0.05,station_error=1e-300", "simulated:stations=0.05,error=inf",
    "simulated:stations=1e-9", "simulated:stations=0.05,stations=0.1",
    "simulated:isd=0.1,isd_list=x",
    "simulated:satellites=all,elements=x", "simulated:like=nothing.parquet",
    "simulated:orbiters=1,altitude_km=1e30",
    "simulated:orbiters=1,view=swath,scan_seconds=1e-300",
    "simulated:seed=99999999999999999999,stations=0.05", "simulated:radiosondes=0.1,seed=-1",
    "simulated:orbiters=1,radius_deg=1e-9", "simulated:stations=0.05,errors=standard",
    "simulated:stations=0.05,errors=no.yaml", "madis", "madis:location=nowhere", "isd:location=",
    "simulated:stations=0.05,withhold=1", "simulated:=", "simulated:kind=file",
)  # fmt: skip
OPTIONAL = {
    "--device": ("cpu", "cuda", "cuda:99", "mps", "meta", "xpu", "cpu:0", "cpu:7", "lazy",
    "vulkan"),
    "--dtype": ("float32", "bfloat16", "float64", "int8"),
    "--region": ("30,75,-20,45", "0,0,0,0", "nan,nan,nan,nan", "-90,90,-180,360", "1,2,3",
    "a,b,c,d",
                 "10,20,50,40", "-1e-9,1e-9,0,1e-9", "inf,-inf,0,0"),
    "--variables": ("temperature", "geopotential", "2m_temperature", "snow"),
    "--levels": ("500", "850", "0", "-500", "123"),
    "--operator": ("os:system", "no.module:f", "math:sqrt", "tests.own_operators:nothing", "os",
    ":",
                   "os:path.join", "builtins:eval", "..x:y"),
    "--deny": ("platform=station", "platform=", "quantity=snow", "region=1,2", "a=b", "+", "="),
    "--set": ("format=zarr", "format=x", "storage.token=[", "storage.a=1", "select.level=500",
              "select.x=y", "time_units=hours since 1900", "location=x", "accumulation=x",
              "split=x"),
    "--worker-memory": ("auto", "4GiB", "banana", "-1GB", "nan", "1e999"),
    "--device-memory": ("80GiB", "0", "-1GiB", "banana", "nanGiB", "1e999GiB"),
    "--method": ("mmps", "dps", "es-mda", "optimal-interpolation", "latent-3dvar", "nonesuch"),
    "--control": ("default", "thinned", "nonesuch"),
    "--rendezvous": ("127.0.0.1:0", "x", ":", "h:p"),
}  # fmt: skip
#: Numbers of these options would start processes, draw for hours or write elsewhere.
NEVER_LARGE = {"--workers": ("0", "-1", "x"), "--nproc": ("0", "-1", "x"), "--nodes": ("0", "1",
"-1"),
                "--members": ("0", "1", "2", "-1", "9" * 40, "x"),
                "--lead-hours": ("0", "6", "7", "12", "-6", "9" * 40),
                "--cycles": ("0", "1", "2", "-1"), "--periods": ("0", "1", "-1"),
                "--hours": ("6", "12", "0", "7"), "--timeout": ("0", "0.1", "-1", "nan"),
                "--dask-address": ("127.0.0.1:9", "banana", "tcp://", "tcp://127.0.0.1:x", ""),
                "--assimilation-hours": ("0", "6", "12", "-6", "7", "9" * 40)}  # fmt: skip
