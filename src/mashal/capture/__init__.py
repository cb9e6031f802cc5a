"""mashal.capture: what compile does. A function's first call is recorded; later calls replay its kernels natively.

Read in this order
  trail       what a recorded call is: buffers, values, steps;  structure: arguments and results as flat lists
  recorder    runs a call and notes its kernels. It is built from buffers (which memory tensors see), undoing (a call is taken
              back), told (what Python does past the launcher), stepping (optimizers and schedules)
              noted: tensors as they were, and obstacles;  indices: what they choose, where they lie;  origins: which operation and
              line a kernel comes from;  waiting: an optimizer's kernel runs when the call has ended well
  watch       follows the program meanwhile: guards (what it read), effects (what no replay repeats), places of cuts
  visiting    what watch sees with, at each place of a program: reading (becomes guards), changing (may become effects),
              picking (what a rehearsal depends on), sightings (the sum of it);  bytecode, sites: which places those are;
              looking: into objects, without running their code;  frames, effects, guards, contents, modules, places,
              definitions: whose code, what a replay would not repeat, and what was found where
  making      from a call to a recording: called (the recorded call, and backward from its results), planning (operands,
              answers, gradients, guards), backwards (programs for gradients);  recording: what comes of it;  answers: how a
              replay's answer is built;  history: the node behind it
  fuse        fewer and better steps, with the same bits: fuse_known (numbers, copies, constants), fuse_parts (what a
              step computes), fuse_join (two as one), fuse_graph (which may), fuse_steps (what it costs, and back to a
              step), fuse_products (what follows a product of matrices), fuse_memory (results in the place of operands),
              fuse_choices (what is a matter of cost: rehearsals choose alike)
  program     a plan (what a replay is made of) becomes tables for machine.replay: where buffers lie, the kernels' words;
              arena: memory for what nobody sees after the call
  growing     one recording for many sizes;  sizes: which those are, and polynomials of them;
              outline: what recordings must share for that;  tuning: words set to the sizes of a call
  varying     one recording for floats that change;  leading: numbers that follow from numbers are computed first
  recordings  what is known of a function: its recordings, found by their guards;  compiled: the function that asks them;  direct:
              what it tries first;  general: when sizes or floats get a replay for many calls;  held: tensors that are held
              somewhere are inputs;  kinds: which calls came before
  regions     a function split around what cannot be recorded: splitting (which statements go where), cuts (at which lines), region
              (a run of statements as a function), source, names, flow, hoisting;  callees: what is called at a cut;
              together: undone as a whole
  messages    what compile says to its user;  errors: the classes of its errors;  news: counters, and notes for those who ask
  settings    what a program may set (torch._dynamo.config)
  explain     what was captured, where it was cut;  costs: bytes, arithmetic, time of kernels;  listing: as text;  picture: as bars;
              before: what the calls changed is put back

Stands on: methods and all below. Used by: mashal.compiler.
"""
