#!/usr/bin/env escript
%% Writes a bitcask to Dir, and copies it to Dir.PHASE after each phase. Writes the contents to
%% Dir.PHASE.expected, with one key in each line, key and value in hexadecimal.

main([Dir, Seed]) ->
    rand:seed(exsss, list_to_integer(Seed)),
    ok = application:start(bitcask),
    Opts = [read_write, {max_file_size, 8192}],
    A = bitcask:open(Dir, Opts),
    work(A, 600),
    keep(A, Dir, "written"),
    %% A reopened bitcask does not know its deleted keys.
    ok = bitcask:close(A),
    B = bitcask:open(Dir, Opts),
    %% Not the first files: no older file could need their tombstones.
    ok = bitcask:merge(Dir, Opts, lists:sublist(files(Dir), 2, 4)),
    keep(B, Dir, "partly_merged"),
    work(B, 300),
    keep(B, Dir, "written_again"),
    ok = bitcask:merge(Dir, Opts),
    keep(B, Dir, "merged"),
    work(B, 50),
    keep(B, Dir, "written_at_last"),
    ok = bitcask:close(B).

work(_, 0) -> ok;
work(B, N) ->
    Key = <<"key", (rand:uniform(120)):16>>,
    case rand:uniform(6) of
        1 -> ok = bitcask:delete(B, Key);
        %% A tombstone of version 1. A merge of some files turns it into one of version 2.
        2 -> ok = bitcask:put(B, Key, <<"bitcask_tombstone">>);
        _ -> ok = bitcask:put(B, Key, rand:bytes(rand:uniform(200) - 1))
    end,
    work(B, N - 1).

files(Dir) ->
    Number = fun(Path) -> list_to_integer(filename:basename(Path, ".bitcask.data")) end,
    Files = [{Number(Path), Path} || Path <- filelib:wildcard(filename:join(Dir, "*.bitcask.data"))],
    [Path || {_, Path} <- lists:sort(Files)].

keep(B, Dir, Phase) ->
    To = Dir ++ "." ++ Phase,
    "" = os:cmd("cp -a '" ++ Dir ++ "' '" ++ To ++ "'"),
    Line = fun(Key, Value, Lines) -> [[hex(Key), " ", hex(Value), "\n"] | Lines] end,
    ok = file:write_file(To ++ ".expected", bitcask:fold(B, Line, [])).

hex(Bytes) -> [io_lib:format("~2.16.0b", [Byte]) || <<Byte>> <= Bytes].
