"""All that touches bytes, clocks, files, brokers and the dataflow engine."""
