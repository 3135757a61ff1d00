package ai.h2o.mojos.runtime.frame;

import java.util.HashMap;
import java.util.Map;

public class MojoRowBuilder {
    public final Map<String, String> cells = new HashMap<>();

    public MojoRowBuilder setValue(String name, String value) {
        cells.put(name, value);
        return this;
    }
}
