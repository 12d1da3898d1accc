from clit_plugin.utils.memory_left import memory_left


def write_group(folder, limit, used=300, cache=0):
    for name, text in (
        ("memory.max", limit),
        ("memory.current", used),
        ("memory.stat", f"anon 1\ninactive_file {cache}"),
    ):
        (folder / name).write_text(f"{text}\n")
    return folder


def test_memory_left_is_the_limit_of_the_container_minus_its_usage(tmp_path):
    assert memory_left(group=write_group(tmp_path, 1000)) == 700


def test_the_file_cache_of_a_container_counts_as_free(tmp_path):
    assert memory_left(group=write_group(tmp_path, 1000, cache=200)) == 900


def test_a_container_above_its_limit_has_nothing_left(tmp_path):
    assert memory_left(group=write_group(tmp_path, 200)) == 0


def test_without_a_container_limit_the_free_memory_of_the_machine_counts(tmp_path):
    free = memory_left(group=tmp_path / "none")
    assert free > 10**6
    assert abs(memory_left(group=write_group(tmp_path, "max")) - free) < free / 2
    assert memory_left(group=write_group(tmp_path, 10**18)) < 10**17
