#include <string.h>

#include "engine/error.h"
#include "engine/text.h"
#include "ipc/session.h"

static void say_json(struct ph_text *out, uint32_t line, uint32_t column, int code,
                     const char *message)
{
    enum ph_class class = ph_error_class(code);
    ph_text_printf(out, "{\"t\":\"error\",\"line\":%u,\"column\":%u,\"class\":\"%s\",\"exit\":%d,",
                   line, column, ph_class_name(class), code == PH_ECANCELED ? 130 : (int)class);
    ph_text_put(out, "\"message\":");
    ph_text_json(out, message, strlen(message));
    ph_text_put(out, "}\n");
}

/* One line, safe for a terminal; a backslash stays one, for messages speak of escapes. */
static void say_line(struct ph_text *out, const char *text)
{
    for (size_t length; *text; text += length) {
        length = strcspn(text, "\\");
        ph_text_printable(out, text, length);
        if (text[length] == '\\')
            ph_text_append(out, text + length++, 1);
    }
}

void ph_say_error(struct ph_sink *sink, enum ph_form form, struct ph_position at, int code,
                  const char *message)
{
    struct ph_text out = PH_TEXT_INIT;
    if (form == PH_FORM_JSON || form == PH_FORM_JSONL) {
        say_json(&out, at.line, at.column, code, message);
    } else {
        say_line(&out, at.script);
        ph_text_printf(&out, ":%u:%u: %s: ", at.line, at.column,
                       ph_class_name(ph_error_class(code)));
        say_line(&out, message);
        ph_text_put(&out, "\n");
    }
    sink->note(sink, out.data, out.length);
    ph_text_fini(&out);
}
