"""The driver of the benchmark beside peers. Standard library only.

Words:

- a *peer* is one system in a process of its own (bench/peers), asked over a pipe;
- an *entrant* is a peer in one state (from files, in memory, asked again) with the rows
  that it is asked for (clean; 10% changed and nothing compacted);
- a *race* asks all entrants the same in turns, A B C A B C, each round beginning with
  another one; answers about the same rows must agree, or the run ends;
- a *line* is what a race says about one entrant: median, p10, p90 and ratios, each the
  median of the ratios of each round;
- a *fact* is one number that no race gives: bytes held, requests a second;
- a *section* is some races and facts about one thing, measured together;
- *figures* are all sections and what the run had; the report is made of them alone.

Who calls whom: run → sections/* → lab (peers, servers, data), race → figures → report.
Nothing here judges by a clock whether something is right.
"""
