/* The frames of hubs. */
#ifndef PH_ENGINE_CLUSTER_FRAME_H
#define PH_ENGINE_CLUSTER_FRAME_H

/* What one hub says to another. Every frame begins with its type, the generation of its sender, the
 * generation that it is for (0: any) and the sender's hub clock; docs/wire.md lists the rest. */
#define PH_FRAME_MAP(X)            \
    X(PH_FRAME_HELLO, hello)       \
    X(PH_FRAME_BEAT, beat)         \
    X(PH_FRAME_BYE, bye)           \
    X(PH_FRAME_INTENTS, intents)   \
    X(PH_FRAME_TAKEN, taken)       \
    X(PH_FRAME_REPAIRED, repaired) \
    X(PH_FRAME_ROWS, rows)         \
    X(PH_FRAME_OUTCOMES, outcomes) \
    X(PH_FRAME_REQUEST, request)   \
    X(PH_FRAME_MOVES, moves)       \
    X(PH_FRAME_MOVED, moved)       \
    X(PH_FRAME_MAIL, mail)         \
    X(PH_FRAME_ANSWER, answer)     \
    X(PH_FRAME_DISPATCH, dispatch) \
    X(PH_FRAME_MERGE, merge)       \
    X(PH_FRAME_MERGED, merged)

enum ph_hub_frame {
#define PH_FRAME_ENUM(name, function) name,
    PH_FRAME_MAP(PH_FRAME_ENUM)
#undef PH_FRAME_ENUM
        PH_FRAMES
};

#endif
