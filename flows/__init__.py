"""All that touches bytes, clocks, files, brokers and the dataflow engine."""

from flows import kernels_cache

kernels_cache.prepare()
