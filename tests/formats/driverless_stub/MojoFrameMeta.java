package ai.h2o.mojos.runtime.frame;

public class MojoFrameMeta {
    private final String[] names;
    private final String[] types;

    public MojoFrameMeta(String[] names, String[] types) {
        this.names = names;
        this.types = types;
    }

    public int size() {
        return names.length;
    }

    public String getColumnName(int place) {
        return names[place];
    }

    public String[] getColumnNames() {
        return names;
    }

    public Object getColumnType(int place) {
        return types[place];
    }
}
