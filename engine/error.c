#include "engine/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum ph_class ph_error_class(int code)
{
    switch (code) {
    case 0:
        return PH_CLASS_OK;
#define PH_CLASS_CASE(name, value, class, text) \
    case name:                                  \
        return PH_CLASS_##class;
        PH_ERROR_MAP(PH_CLASS_CASE)
#undef PH_CLASS_CASE
    case -ENOENT:
        return PH_CLASS_NOT_FOUND;
    case -EEXIST:
    case -EPERM:
    case -EACCES:
        return PH_CLASS_REFUSED;
    case -ETIMEDOUT:
        return PH_CLASS_TIMEOUT;
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -EPIPE:
        return PH_CLASS_NO_CONNECTION;
    default:
        return PH_CLASS_FAILED;
    }
}

const char *ph_class_name(enum ph_class class)
{
    switch (class) {
    case PH_CLASS_OK:
        return "ok";
    case PH_CLASS_FAILED:
        return "failed";
    case PH_CLASS_USAGE:
        return "usage";
    case PH_CLASS_NOT_FOUND:
        return "not-found";
    case PH_CLASS_REFUSED:
        return "refused";
    case PH_CLASS_TIMEOUT:
        return "timeout";
    case PH_CLASS_NO_CONNECTION:
        return "no-connection";
    case PH_CLASS_PARTIAL:
        return "partial";
    }
    return "failed";
}

const char *ph_error_text(int code)
{
    switch (code) {
    case 0:
        return "ok";
#define PH_TEXT_CASE(name, value, class, text) \
    case name:                                 \
        return text;
        PH_ERROR_MAP(PH_TEXT_CASE)
#undef PH_TEXT_CASE
    default: {
        const char *text = strerrordesc_np(-code);
        return text ? text : "unknown error";
    }
    }
}

int ph_error_set(struct ph_error *error, int code, const char *format, ...)
{
    if (!error)
        return code;
    error->code = code;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    if (length >= (int)sizeof error->text)
        memcpy(error->text + sizeof error->text - 4, "...", 4);
    return code;
}
